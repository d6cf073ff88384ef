"""Average precision of boxes as COCO's own evaluation (pycocotools) judges it, against a json in COCO's format."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instagan.errors import InputError
from instagan.io.optional import need


@dataclass(frozen=True)
class CocoFigures:
    """In [0, 1]. ap: mean over the overlaps 0.50, 0.55, ... 0.95 (intersection over union) and over the classes that
    have objects; ap50: at overlap 0.5 alone. classes, classes50: of each class; None for one that has no object."""

    ap: float
    ap50: float
    classes: Mapping[str, float | None]
    classes50: Mapping[str, float | None]


def judge_boxes(
    truth: Path, images: Sequence[int], categories: Mapping[str, int], found: Sequence[Mapping[str, Any]]
) -> CocoFigures:
    """truth: the json. images: ids of those that were looked at. categories: name -> id of those that were looked for.

    found: COCO's records of results: image_id, category_id, bbox (left, top, width, height in pixels of the image),
    score. Raises ``InputError`` where the json lacks what the evaluation needs, or has no such object.
    """
    coco = need("pycocotools.coco", "pycocotools", "judging boxes")
    evaluation = need("pycocotools.cocoeval", "pycocotools", "judging boxes")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it tells of every step
            known = coco.COCO(str(truth))
            judged = known.loadRes([dict(one) for one in found]) if found else _nothing(coco, known)
            evaluator = evaluation.COCOeval(known, judged, "bbox")
            evaluator.params.imgIds, evaluator.params.catIds = list(images), list(categories.values())
            evaluator.evaluate()
            evaluator.accumulate()
    except (KeyError, ValueError, OSError) as error:
        told = f"lacks {error}" if isinstance(error, KeyError) else f"cannot be read ({error})"
        raise InputError(f"{truth} {told}, without which boxes cannot be judged; prepare the set again") from None
    precision = evaluator.eval["precision"][:, :, :, 0, -1]  # (overlaps, recalls, classes); -1 without objects
    if not (precision >= 0).any():
        raise InputError(f"{truth} has no object of {', '.join(categories)} in these {len(images)} images; take more")
    places = {number: place for place, number in enumerate(sorted(categories.values()))}  # the order of its classes
    of_class = {name: precision[:, :, places[number]] for name, number in categories.items()}
    return CocoFigures(
        _mean(precision), _mean(precision[:1]),
        {name: _known(own) for name, own in of_class.items()},
        {name: _known(own[:1]) for name, own in of_class.items()},
    )  # fmt: skip


def _nothing(coco: Any, known: Any) -> Any:
    """Results without a box, which ``loadRes`` does not take."""
    empty = coco.COCO()
    empty.dataset = {**{name: known.dataset[name] for name in ("images", "categories")}, "annotations": []}
    empty.createIndex()
    return empty


def _mean(precision: np.ndarray) -> float:
    return float(precision[precision >= 0].mean())


def _known(precision: np.ndarray) -> float | None:
    return _mean(precision) if (precision >= 0).any() else None
