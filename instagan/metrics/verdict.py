"""What the figures of one direction come to, in a sentence: above all whether a model is degenerate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instagan.metrics.background import LOST_FROM
from instagan.metrics.classifier import RELIABLE
from instagan.metrics.figures import Figure, value_of

UNCHANGED = 0.01
"""Mean change of instances below which a translation is the picture itself."""
KEPT = 0.04
"""Background error up to which it stays as it was; it is lost from ``LOST_FROM`` on."""
FEW, MOST = 0.1, 0.9
"""Shares of instances taken for the target: hardly any, nearly all."""


@dataclass(frozen=True)
class Verdict:
    """tone: good, mixed, bad, or unknown. code: a word for programs."""

    tone: str
    code: str
    sentence: str


def verdict(figures: Sequence[Figure]) -> Verdict:
    change, error = value_of(figures, "change"), value_of(figures, "background_mae")
    score, what = _score(figures)
    if change is not None and change < UNCHANGED:
        return Verdict(
            "bad", "identity",
            "Degenerate: pictures come out as they went in. The background is perfect because nothing was translated.",
        )  # fmt: skip
    if score is None or error is None:
        return Verdict("unknown", "unknown", f"No verdict: {what if score is None else 'there is no background'}.")
    told = f"{score:.0%} of the {what} are taken for the target, background error {error:.3f}"
    if error >= LOST_FROM and score >= 0.5:
        sentence = f"Degenerate: everything is painted over, not only the instances ({told})."
        return Verdict("bad", "painted_over", sentence)
    if error >= LOST_FROM:
        return Verdict("bad", "neither", f"The background is lost, and few instances are translated ({told}).")
    if score <= FEW:
        return Verdict("bad", "untranslated", f"Hardly any instance is translated ({told}).")
    if score >= MOST and error <= KEPT:
        return Verdict("good", "translated", f"Instances are translated and the background stays ({told}).")
    return Verdict("mixed", "mixed", f"Neither degenerate nor done ({told}).")


def _score(figures: Sequence[Figure]) -> tuple[float | None, str]:
    """The score of instances, else of pictures, by a classifier that can be relied on; what it is of, or why not."""
    why = ""
    for kind, what in (("instance", "instances"), ("picture", "pictures")):
        score, accuracy = value_of(figures, f"{kind}_score"), value_of(figures, f"{kind}_accuracy")
        if score is not None and accuracy is not None:
            if accuracy >= RELIABLE:
                return score, what
            why = why or f"the classifier is right on only {accuracy:.0%} of real {what}"
    return None, why or "no classifier could be trained"
