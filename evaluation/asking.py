"""Flags -> who judges: each network is loaded only when it is asked for."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection

import torch

from engine.device import choose_device
from instagan.io.detector import INSIDE, Detect, load_detector
from instagan.io.pixels import pixels_to_tensor
from instagan.metrics.agreement import matched
from instagan.metrics.classifier import small, vgg16
from instagan.metrics.features import built_in, cached_inception, inception
from instagan.metrics.judges import Agreement, Judges
from instagan.metrics.outcome import Outcome
from instagan.metrics.perceptual import lpips

DETECTOR_SIDE = 800
"""Shorter side in pixels at which the detector looks at pictures, as it was trained."""


def judges_of(flags: Namespace) -> Judges:
    """Raises ``InputError`` naming the flag where a package or weights are missing or do not fit."""
    device = choose_device(Namespace(device=flags.device, gpu_ids=None))
    weights = flags.weights
    with_inception = flags.features == "inception" or (
        flags.features == "auto" and ("inception" in weights or cached_inception() is not None)
    )
    features = inception(weights.get("inception"), device) if with_inception else built_in(device)
    classifier = vgg16(weights["vgg16"], device) if "vgg16" in weights and flags.classifier != "small" else small()
    distance = lpips(weights.get("lpips"), device) if flags.lpips else None
    finder = None
    if flags.detector:
        detect, _ = load_detector(weights.get("maskrcnn"), flags.threshold, DETECTOR_SIDE, device)
        finder = "Mask R-CNN", agreement_by(detect, flags.category)
    return Judges(device, features, classifier, distance, finder)


def agreement_by(detect: Detect, classes: Collection[int] | None) -> Agreement:
    """Each translated mask against the detected instances, none of which is given to two masks."""

    def agreement(outcome: Outcome) -> list[float]:
        picture = (pixels_to_tensor(outcome.fake) + 1) / 2  # (3, H, W) in [0, 1]
        (found,) = detect([picture])
        chosen = [number for number, label in enumerate(found["labels"].tolist()) if not classes or label in classes]
        masks = (found["masks"][torch.tensor(chosen, dtype=torch.long), 0] > INSIDE).cpu().numpy()
        return matched(outcome.after, list(masks))

    return agreement
