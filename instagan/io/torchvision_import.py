"""torchvision, also where its compiled part does not fit the installed torch.

That happens easily: the usual wheel is built for CUDA and fails beside a CPU-only torch while it is being imported,
with "operator torchvision::nms does not exist". Everything in Python works once the operators' schemas are known; the
two operators that Faster and Mask R-CNN call get stand-ins in plain torch here, RoIAlign's with gradients.
"""

from __future__ import annotations

import sys
from types import ModuleType

import torch
from torch import Tensor

from instagan.errors import InputError
from instagan.networks.roi_align import roi_align as regions_of

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width,"
    " int sampling_ratio, bool aligned) -> Tensor",
)
_registered: list[torch.library.Library] = []
"""Registrations hold as long as their library object lives."""


def import_torchvision(needed_by: str = "--detector") -> ModuleType:
    """The package. Raises ``InputError`` with the pip command where it is not installed. needed_by: for the message."""
    try:
        import torchvision
    except ModuleNotFoundError:
        told = f"{needed_by} needs torchvision, which is not installed"
        raise InputError(f"{told}; run: pip install torchvision") from None
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        return _import_without_compiled_part()
    return torchvision


def _import_without_compiled_part() -> ModuleType:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # what the failed import has left half done
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    library.impl("nms", nms, "CompositeExplicitAutograd")
    library.impl("roi_align", roi_align, "CompositeImplicitAutograd")  # gradients: through what it is made of
    _registered.append(library)
    import torchvision
    from torchvision.ops import roi_align as _  # noqa: F401  (loads the module below)

    for module in ("torchvision.extension", "torchvision.ops.roi_align"):
        sys.modules[module]._has_ops = lambda: True  # type: ignore[attr-defined]
    return torchvision


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Non-maximum suppression: indices of the boxes (K, 4) that overlap no better one by more than ``threshold``."""
    order = scores.argsort(descending=True, stable=True)
    left, top, right, bottom = boxes[order].unbind(1)
    area = (right - left) * (bottom - top)
    width = torch.minimum(right[:, None], right) - torch.maximum(left[:, None], left)
    height = torch.minimum(bottom[:, None], bottom) - torch.maximum(top[:, None], top)
    common = width.clamp(min=0) * height.clamp(min=0)  # (K, K)
    overlaps = (common > threshold * (area[:, None] + area - common)).cpu().numpy()
    suppressed = [False] * len(order)
    kept = []
    for rank in range(len(order)):
        if not suppressed[rank]:
            kept.append(rank)
            for other in overlaps[rank].nonzero()[0]:
                suppressed[other] = True
    return order[torch.tensor(kept, dtype=torch.long, device=boxes.device)]


def roi_align(
    features: Tensor, rois: Tensor, scale: float, height: int, width: int, samples: int, aligned: bool
) -> Tensor:
    """Regions of features (B, C, h, w) as (K, C, height, width); see ``instagan.networks.roi_align``.

    rois (K, 5): row of the batch, left, top, right, bottom before scaling. samples: 0 or less is taken for 2.
    """
    size, samples = (height, width), samples if samples > 0 else 2
    return regions_of(features, rois[:, 0].long(), rois[:, 1:], size, scale, samples, aligned)
