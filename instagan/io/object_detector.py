"""Faster R-CNN, torchvision's, as a judge of where objects are (Ren, He, Girshick, Sun, NeurIPS 2015): it finds boxes,
and says where an object that it is told of lies, with a gradient to the image.

Letters: B images, P objects of all images, N instance slots, H x W image. Boxes are left, top, right, bottom in pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from instagan.errors import InputError
from instagan.io.sealed import save_sealed
from instagan.io.tensor_files import detached, fitting, read_tensors, state_dict
from instagan.io.torchvision_import import import_torchvision
from instagan.io.writing import write_whole
from instagan.structures.boxes import clip
from instagan.structures.instances import InstanceBatch

SMALL_WIDTH = 64
"""Channels of the small detector's feature map."""
LONGER = 2
"""The longer side of an image is looked at with at most so many times the pixels of the shorter one."""
THRESHOLD, MOST = 0.5, 20
"""Least score of an object that counts as found, and most objects of an image."""


class ObjectDetector(nn.Module):
    """Finds objects of ``classes`` in images (B, 3, H, W) in [-1, 1].

    kind     ``resnet50``, ``mobilenet``: ResNet-50 and MobileNetV3 with a feature pyramid, which begin with weights of
             torchvision's; ``small``: one map at a quarter of the size, for small images; it can be learnt from nothing
             on a CPU
    classes  names, in the order of the labels 0, 1, ...
    side     pixels of the shorter side at which images are looked at, whatever their size
    """

    model: Any  # torchvision's FasterRCNN

    def __init__(self, kind: str, classes: Sequence[str], side: int) -> None:
        super().__init__()
        import_torchvision("a detector of objects")
        self.kind, self.classes, self.side = kind, tuple(classes), side
        self.model = KINDS[kind](len(self.classes) + 1, min_size=side, max_size=LONGER * side, box_score_thresh=0.05)
        self.eval()

    @classmethod
    def of(cls, kind: str, classes: str, side: int) -> ObjectDetector:
        """The detector with this ``config``, its weights drawn."""
        return cls(kind, classes.split("\n"), side)

    @property
    def config(self) -> dict[str, Any]:
        return {"kind": self.kind, "classes": "\n".join(self.classes), "side": self.side}

    def train(self, mode: bool = True) -> ObjectDetector:
        """Stays in eval mode: it is used, and ``losses`` alone puts it into training mode."""
        return super().train(False)

    def losses(self, images: Tensor, boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> dict[str, Tensor]:
        """The four losses of Faster R-CNN, () each; of each image the true boxes (n, 4) and labels (n,), n may be 0.

        Draws from torch's random state which proposals are learnt from.
        """
        targets = [{"boxes": of, "labels": label + 1} for of, label in zip(boxes, labels, strict=True)]
        nn.Module.train(self.model)
        try:
            return self.model(list(_shown(images)), targets)
        finally:
            self.model.eval()

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Of each image all that may be an object, best first: boxes (n, 4), labels (n,), scores (n,) in [0, 1]."""
        with torch.autocast(images.device.type, enabled=False):
            found = self.model(list(_shown(images).to(self._weight)))
        return [(of["boxes"], of["labels"] - 1, of["scores"]) for of in found]

    def find(self, images: Tensor, threshold: float = THRESHOLD, most: int = MOST) -> InstanceBatch:
        """The images with what is found in them, as boxes: at most so many of each, of a score above the threshold."""
        height, width = images.shape[2:]
        kept = []
        for boxes, labels, scores in self.detect(images):
            boxes = clip(boxes, width, height)
            good = (scores > threshold) & (boxes[:, 2] > boxes[:, 0])
            kept.append((boxes[good][:most].to(images), labels[good][:most]))
        slots = max((len(labels) for _, labels in kept), default=0)
        given_boxes, given_labels = images.new_zeros((len(images), slots, 4)), torch.zeros((len(images), slots)).long()
        present = torch.zeros((len(images), slots), dtype=torch.bool)
        given_labels = given_labels.to(images.device)
        for row, (boxes, labels) in enumerate(kept):
            given_boxes[row, : len(boxes)], given_labels[row, : len(labels)] = boxes, labels
            present[row, : len(labels)] = True
        return InstanceBatch(images, None, present, given_labels, given_boxes=given_boxes)

    def regressed(self, images: Tensor, owner: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        """Where the detector sees the objects that it is told of: (P, 4), in shares of the image's width and height.

        owner (P,) long: the image of each; boxes (P, 4), labels (P,). The boxes are the proposals, and those that the
        head for the object's class makes of them come out, in the same order: no choice and no matching. Gradients flow
        to the images.
        """
        with torch.autocast(images.device.type, enabled=False):
            shown = self.model.transform([*_shown(images).to(self._weight)])[0]
            height, width = shown.image_sizes[0]
            scale = boxes.new_tensor([width, height] * 2) / boxes.new_tensor([*images.shape[:1:-1]] * 2)  # (4,)
            order = owner.argsort(stable=True)  # the head wants the proposals of each image together
            proposals = (boxes * scale).to(self._weight)[order]  # (P, 4)
            counts = torch.bincount(owner, minlength=len(images)).tolist()
            head, features = self.model.roi_heads, self.model.backbone(shown.tensors)
            features = features if isinstance(features, Mapping) else {"0": features}
            pooled = head.box_roi_pool(features, list(proposals.split(counts)), shown.image_sizes)  # (P, C, h, w)
            _, moved = head.box_predictor(head.box_head(pooled))  # (P, 4 K)
            found = head.box_coder.decode(moved, [proposals])  # (P, K, 4)
            found = found[torch.arange(len(order), device=order.device), labels[order] + 1]  # (P, 4)
            return (found / found.new_tensor([width, height] * 2))[order.argsort()].to(images.dtype)

    @property
    def _weight(self) -> Tensor:
        return next(self.model.parameters())


def _shown(images: Tensor) -> Tensor:
    """From [-1, 1] to the [0, 1] of torchvision."""
    return (images + 1) / 2


def read_detector(path: Path, flag: str = "--detector_weights") -> ObjectDetector:
    """What ``write_detector`` wrote. Raises ``InputError`` naming the flag."""
    if not path.is_file():
        raise InputError(f"{flag} {path}: no such file; make it with scripts/train_detector.py")
    content = read_tensors(path)
    if not isinstance(content, Mapping) or not {"detector", "weights"} <= set(content):
        raise InputError(f"{flag} {path} is no detector; make one with scripts/train_detector.py")
    with fitting(f"{flag} {path}", "the detector that it tells of"):
        detector = ObjectDetector.of(**content["detector"])
        detector.load_state_dict(detached(state_dict(content["weights"], f"{flag} {path}")))
    if not all(bool(weight.isfinite().all()) for weight in detector.parameters()):
        raise InputError(f"{flag} {path} holds NaN or infinite weights; train the detector again")
    return detector


def record_of(detector: ObjectDetector) -> list[str]:
    """Kind, size and classes, as a run notes them down."""
    return [detector.kind, str(detector.side), *detector.classes]


def recorded_detector(path: Path, record: Sequence[str] | None) -> ObjectDetector:
    """That of the file; or, where it is gone or holds another by now, one as recorded, which a checkpoint has weights
    for. Until these are loaded its own are NaN. Raises ``InputError`` where there is neither file nor record."""
    if path.exists() or not record:
        detector = read_detector(path)
        if not record or record_of(detector) == list(record):
            return detector
    kind, side, *classes = record
    detector = ObjectDetector(kind, classes, int(side))
    with torch.no_grad():
        for weight in detector.parameters():
            weight.fill_(torch.nan)
    return detector


def write_detector(path: Path, detector: ObjectDetector, told: Mapping[str, Any]) -> None:
    """Weights, kind, classes and size; told: what else is known of it, in plain values. Raises ``InputError``."""
    content = {"detector": detector.config, "weights": detector.state_dict(), "told": dict(told)}
    write_whole(path, lambda scratch: save_sealed(content, scratch))


def begin_with(detector: ObjectDetector, path: Path, flag: str) -> None:
    """Takes all weights that fit from a state dict of torchvision's detector of this kind, or of its backbone as a
    classifier; the layers that know its classes stay as drawn. Raises ``InputError`` where no layer of the backbone is
    there."""
    given = state_dict(read_tensors(path), f"{flag} {path}")
    own = detector.model.state_dict()
    given |= {f"backbone.body.{name.removeprefix('features.')}": tensor for name, tensor in given.items()}
    fits = {name: given[name] for name, tensor in own.items() if name in given and given[name].shape == tensor.shape}
    if missing := [name for name in own if name.startswith("backbone.body.") and name not in fits]:
        whole, backbone = BEGINNINGS[detector.kind]
        raise InputError(f"{flag} {path} has no {missing[0]}; pass torchvision's {whole} or {backbone}")
    detector.model.load_state_dict({**own, **fits})


def _resnet50(outputs: int, **sizes: Any) -> nn.Module:
    """As torchvision's ``fasterrcnn_resnet50_fpn``, norms frozen: batches of few images tell no statistics."""
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops import FrozenBatchNorm2d

    norm = partial(FrozenBatchNorm2d, eps=0.0)
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, norm_layer=norm, trainable_layers=3)
    return FasterRCNN(backbone, outputs, **sizes)


def _mobilenet(outputs: int, **sizes: Any) -> nn.Module:
    """As torchvision's ``fasterrcnn_mobilenet_v3_large_fpn`` with weights, whose norms are frozen."""
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.backbone_utils import mobilenet_backbone

    backbone = mobilenet_backbone(backbone_name="mobilenet_v3_large", weights=None, fpn=True, trainable_layers=3)
    anchors = AnchorGenerator(((32, 64, 128, 256, 512),) * 3, ((0.5, 1.0, 2.0),) * 3)
    return FasterRCNN(backbone, outputs, rpn_anchor_generator=anchors, rpn_score_thresh=0.05, **sizes)


def _small(outputs: int, **sizes: Any) -> nn.Module:
    """Anchors for objects of 16 to 64 pixels of what it looks at; 0.5 million parameters for three classes."""
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.ops import MultiScaleRoIAlign

    return FasterRCNN(
        SmallBackbone(SMALL_WIDTH),
        rpn_anchor_generator=AnchorGenerator(((20, 28, 40, 60),), ((1.0, 2.0),)),
        rpn_pre_nms_top_n_train=300, rpn_post_nms_top_n_train=150,
        rpn_pre_nms_top_n_test=200, rpn_post_nms_top_n_test=60,
        box_roi_pool=MultiScaleRoIAlign(["0"], 7, 2),
        box_head=TwoMLPHead(SMALL_WIDTH * 49, 128), box_predictor=FastRCNNPredictor(128, outputs),
        box_batch_size_per_image=64, box_detections_per_img=50,
        **sizes,
    )  # fmt: skip


class SmallBackbone(nn.Module):
    """(B, 3, H, W) -> (B, C, H/4, W/4), which has seen what is around at half of that size. Sides: multiples of 8."""

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        half = out_channels // 2
        self.fine = nn.Sequential(*_layer(3, half, 2), *_layer(half, out_channels, 2))
        self.coarse = nn.Sequential(
            *_layer(out_channels, out_channels, 2), *_layer(out_channels, out_channels), nn.Upsample(scale_factor=2)
        )
        self.joined = nn.Sequential(*_layer(out_channels, out_channels))

    def forward(self, images: Tensor) -> Tensor:
        fine = self.fine(images)  # (B, C, H/4, W/4)
        return self.joined(fine + self.coarse(fine))  # (B, C, H/4, W/4)


def _layer(narrow: int, wide: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(narrow, wide, 3, stride, 1, bias=False), nn.GroupNorm(8, wide), nn.ReLU()]


KINDS: dict[str, Callable[..., nn.Module]] = {"small": _small, "resnet50": _resnet50, "mobilenet": _mobilenet}
BEGINNINGS = {
    "resnet50": ("fasterrcnn_resnet50_fpn", "resnet50"),
    "mobilenet": ("fasterrcnn_mobilenet_v3_large_fpn", "mobilenet_v3_large"),
}
"""Of a kind that is not learnt from nothing: whose weights it begins with, torchvision's names."""
