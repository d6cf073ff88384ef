"""Evaluation during training: chosen figures of a fixed part of the validation pictures, and the best checkpoint."""

from __future__ import annotations

import math
import time
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch

from engine.averaging import averaged
from engine.run import Tell
from engine.run_folder import BEST, RunFolder
from engine.schedule import Progress
from evaluation.pictures import Set, references, translated, truth_of
from instagan.errors import InputError
from instagan.metrics import PROTOCOL
from instagan.metrics.classifier import LEAST, Classifier
from instagan.metrics.figures import METRICS, value_of
from instagan.metrics.judges import Judges, References
from instagan.metrics.measuring import measure
from instagan.structures.directions import Direction, asked_for
from models import MODELS
from models.translation_model import TranslationModel
from options.parse import whole_framing

TRAINING_PICTURES = 100
"""Most real pictures of each domain that the classifiers learn from, once."""
SEED = 0
"""Of classifiers and subsets: the same in every run, so that runs can be compared."""

Figures = dict[str, float]


@dataclass(frozen=True, eq=False)
class DuringTraining:
    """The pictures of each direction, by network letters, and all that judges their translations.

    metrics: those that are found. best: the one that decides which checkpoint is the best, mean of all directions.
    """

    pictures: Set
    sources: Mapping[Direction, tuple[str, References]]
    judges: Judges
    classifiers: Mapping[tuple[Direction, str], Classifier | None]
    metrics: tuple[str, ...]
    best: str

    @classmethod
    def of(cls, options: Namespace, device: torch.device) -> DuringTraining:
        """Reads the pictures and trains the classifiers. Raises ``InputError`` for figures that cannot be found."""
        if options.dataset_mode not in ("unaligned", "unaligned_seg"):
            raise InputError(
                f"--eval_freq works with folders of images, not --dataset_mode {options.dataset_mode}; drop it"
            )
        metrics = tuple(dict.fromkeys((*options.eval_metrics, options.best_metric)))
        whole = Namespace(**{**vars(options), **whole_framing(vars(options))})  # framed as by test.py
        try:
            validation = Set.read(whole, options.eval_phase, "AB", options.eval_size)
        except InputError as error:
            raise InputError(f"--eval_freq: {str(error).replace('--phase', '--eval_phase')}") from None
        training = Set.read(whole, options.phase, "AB", TRAINING_PICTURES)
        truth = truth_of(options)
        if truth is None and (wrong := [name for name in metrics if name.startswith(("truth", "agreement"))]):
            raise InputError(
                f"--eval_metrics {wrong[0]} needs the truth of a set that make_shapes.py drew; choose others"
            )
        judges, sources, classifiers = Judges.offline(device), {}, {}
        for way in asked_for("both", MODELS[options.model].directions, options.direction):
            known, letters = references(validation, training, way.source, way.target, truth), way.networks
            sources[letters] = way.source, known
            for kind in (kind for kind in ("picture", "instance") if _needed(kind, metrics)):
                learn = known.pictures_classifier if kind == "picture" else known.instances_classifier
                classifiers[letters, kind] = learn(judges, SEED)
                if classifiers[letters, kind] is None:
                    raise InputError(
                        f"--eval_metrics {', '.join(metrics)}: a classifier needs {LEAST} real {kind}s of each domain "
                        f"in {options.phase} and one in {options.eval_phase}; choose other figures, and --best_metric"
                    )
        return cls(validation, sources, judges, classifiers, metrics, options.best_metric)

    def figures(self, model: TranslationModel, device: torch.device) -> Figures:
        """By name and letter of the source, as losses are called: balance_A, balance_B, fid_A ..."""
        found: Figures = {}
        for letters, (source, known) in self.sources.items():
            outcomes, _ = translated(model, self.pictures.samples[source], letters[1].lower(), device)
            learned = partial(_learned, self.classifiers, letters)
            judges = self.judges.knowing(known.truth)
            measured = measure(outcomes, known, judges, (SEED,), self.metrics, learned)
            for name in self.metrics:
                value = value_of(measured.figures, name)
                if value is not None:
                    found[f"{name}_{letters[0]}"] = value
        return found

    def score(self, figures: Figures) -> float | None:
        """The figure that decides, mean of all directions; None if it could not be found."""
        values = [value for name, value in figures.items() if name.rpartition("_")[0] == self.best]
        return sum(values) / len(values) if values and all(map(math.isfinite, values)) else None

    def run(self, model: TranslationModel, device: torch.device, folder: RunFolder, now: Progress, tell: Tell) -> None:
        """Finds and tells the figures, and saves the checkpoint ``best`` if none before was as good."""
        started = time.perf_counter()
        with averaged(model):
            figures = self.figures(model, device)
        score, before = self.score(figures), folder.read_best(self.best)
        better = score is not None and (before is None or _better(self.best, score, before["value"]))
        saved = f", saved as {BEST}"
        if better:
            note = {"metric": self.best, "value": score, "step": now.steps, "epoch": now.epoch, "protocol": PROTOCOL}
            try:
                folder.save([BEST], model, now)
                folder.save_best({**note, "figures": figures})
            except InputError as error:  # a full disk costs a checkpoint, not the run
                saved = f", the best so far; warning: {error}"
        remark = "" if score is None else f"{self.best} {score:.4g}"
        remark += "" if score is None else saved if better else f"; best so far {before['value']:.4g}"
        tell(now, figures, remark, time.perf_counter() - started)


def _better(metric: str, one: float, other: float) -> bool:
    return one < other if METRICS[metric].better == "lower" else one > other


def _needed(kind: str, metrics: tuple[str, ...]) -> bool:
    asked = {f"{kind}_score", f"{kind}_accuracy"} | ({"balance"} if kind == "instance" else set())
    return bool(asked & set(metrics))


def _learned(
    classifiers: Mapping[tuple[Direction, str], Classifier | None], letters: Direction, kind: str, seed: int
) -> Classifier | None:
    return classifiers[letters, kind]
