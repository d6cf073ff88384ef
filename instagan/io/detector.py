"""Masks for pictures that have none, from torchvision's Mask R-CNN (ResNet-50 FPN)."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from instagan.errors import InputError
from instagan.io.torchvision_import import import_torchvision

Detect = Callable[[list[Tensor]], list[dict[str, Tensor]]]
"""Pictures (3, H, W) in [0, 1] -> for each of them masks (K, 1, H, W) in [0, 1], labels (K,), scores (K,)."""

INSIDE = 0.5
"""A pixel is inside of a mask if its probability is above this."""


def load_detector(weights: Path | None, threshold: float, size: int, device: torch.device) -> tuple[Detect, int]:
    """The detector and its number of classes. weights: a state dict, or None for torchvision's own from its cache or
    the internet. size: shorter side in pixels at which pictures are looked at. Raises ``InputError``."""
    import_torchvision()
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights, maskrcnn_resnet50_fpn

    if weights is None:
        state = _download(MaskRCNN_ResNet50_FPN_Weights.DEFAULT)
    else:
        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            if isinstance(error, pickle.UnpicklingError):  # torch advises to run its code
                reason = "torch did not save it, or it holds more than tensors"
            raise InputError(
                f"--weights {weights} cannot be read ({reason}); pass a state dict saved by torch"
            ) from None
    try:
        classes = len(state["roi_heads.box_predictor.cls_score.weight"])
        model = maskrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, num_classes=classes, box_score_thresh=threshold,
            min_size=size, max_size=max(size * 5 // 3, size),
        )  # fmt: skip
        model.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError):
        raise InputError(
            f"--weights {weights} does not fit torchvision's maskrcnn_resnet50_fpn; pass a state dict of that model"
        ) from None
    model.eval().to(device)

    def detect(images: list[Tensor]) -> list[dict[str, Tensor]]:
        with torch.inference_mode():
            return model([image.to(device) for image in images])

    return detect, classes


def detector_classes() -> list[str]:
    """The class names of torchvision's own weights, by number; "__background__" is 0."""
    import_torchvision()
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

    return list(MaskRCNN_ResNet50_FPN_Weights.DEFAULT.meta["categories"])


def _download(weights: Any) -> dict[str, Tensor]:
    try:
        return weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"the detector's weights cannot be fetched ({error}); get {weights.url} elsewhere and pass --weights FILE"
        ) from None
