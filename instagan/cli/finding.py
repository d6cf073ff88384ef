"""Instances found in pictures that come without masks."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from instagan.errors import InputError
from instagan.flag_types import share, whole
from instagan.inference.network import choose_device
from instagan.io.categories import check_names
from instagan.io.detector import INSIDE, detector_classes, load_detector
from instagan.io.pixels import pixels_to_tensor
from instagan.io.text_files import read_class_names


def add_detector_flags(add: Callable[..., Any]) -> None:
    """add: ``add_argument`` of the group of flags that ``--detector`` is in."""
    add("--weights", type=Path, metavar="FILE", help="its state dict (default: torchvision's, downloaded)")
    add("--names", type=Path, metavar="FILE", help="class names of --weights, one per line, __background__ first")
    add("--threshold", type=share, default=0.7, help="score threshold")
    add(
        "--detector_size",
        type=whole(32),
        default=800,
        metavar="N",
        help="shorter side in pixels to which images are resized for it",
    )


def detector_for(options: Namespace) -> Callable[[Image.Image], list[np.ndarray]]:
    """Finds what ``--category`` names: a picture -> masks (H, W) bool, the surest first. Raises ``InputError``."""
    classes = list(read_class_names(options.names)) if options.names else detector_classes()
    check_names(options.category, classes[1:], "--category", "the detector")
    wanted = {classes.index(name) for name in options.category}
    detect, count = load_detector(
        options.weights, options.threshold, options.detector_size, choose_device(options.device)
    )
    if count != len(classes):
        raise InputError(
            f"--weights has {count} classes and there are {len(classes)} names for them; pass --names FILE, "
            "one name a line, beginning with __background__"
        )

    def find(picture: Image.Image) -> list[np.ndarray]:
        image = (pixels_to_tensor(np.asarray(picture)) + 1) / 2  # (3, H, W) in [0, 1]
        (found,) = detect([image])
        inside = (found["masks"][:, 0] > INSIDE).cpu().numpy()  # (K, H, W)
        return [mask for mask, label in zip(inside, found["labels"].tolist(), strict=True) if label in wanted]

    return find
