"""What users hand over as picture and masks -> ``Source``: one form for everything. Raises ``InputError``.

picture   path, PIL image, array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), tensor (H, W), (1, H, W) or (3, H, W)
          for a model of other images, the values of such files: array (H, W) or (H, W, C), tensor (H, W) or (C, H, W)
masks     None, one mask, a list of masks, or a stacked array or tensor (N, H, W)
targets   None, a name or label for all instances, or one for each: what they are to become
keypoints None, or for each mask x, y, visibility, x, ... or (K, 3), in pixels of the picture
parts     None, or for each mask a label map of its size: a path, PIL image or array, 0 outside, 1, 2, ... in parts
style     None, a picture as an example, or codes as a list, array or tensor: (S,) for all pictures, or (n, S)
values    uint8 and 16 bits as they are, floats in [0, 1], or in the range that the model was trained with; of a mask:
          inside is what is above half of its maximum
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from instagan.errors import InputError
from instagan.inference.attributes import label_maps, planes_of_labels, points_for
from instagan.inference.control import Control
from instagan.inference.sizes import Widening
from instagan.io.formats import RGB, Format
from instagan.io.pixels import mask_to_tensor, pixels_to_tensor
from instagan.io.reading import as_rgb, inside_of, read_inside
from instagan.io.value_files import values_of
from instagan.structures.instances import InstanceBatch
from instagan.structures.one_way import SMALLEST_EXAMPLE

STYLE_SEED = 0
"""Random seed of the styles that are drawn where none is given."""
Picture: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray | Tensor"
Masks: TypeAlias = "Picture | Iterable[Picture] | None"
Targets: TypeAlias = "str | int | Sequence[str | int] | None"
Style: TypeAlias = "Picture | Sequence[float] | Sequence[Sequence[float]] | None"


@dataclass(frozen=True, eq=False)
class Source:
    """A picture with its instances as read, at its own size.

    pixels (H, W, C) uint8, or floats in [0, 1] where floats were handed over, or other types than uint8 are files':
    shares of their range then, see ``instagan.io.formats``; large pictures stay small in memory;
    inside (N, H, W) bool, one for every mask, empty ones too; labels (N,). strengths, ranks (N,): as of
    ``InstanceBatch``; none where nothing is asked for. targets (N,): the name or label of what each is to become, or
    None. keypoints (N, K, 3) float, parts (N, H, W) whole numbers: what else is told of each, or None.
    """

    pixels: np.ndarray
    inside: np.ndarray
    labels: tuple[int, ...]
    strengths: tuple[float, ...] | None = None
    ranks: tuple[int, ...] | None = None
    targets: tuple[str | int, ...] | None = None
    keypoints: np.ndarray | None = None
    parts: np.ndarray | None = None

    @property
    def image(self) -> Tensor:
        """(C, H, W) float32 in [-1, 1], made anew."""
        return pixels_to_tensor(self.pixels)

    @property
    def levels(self) -> np.ndarray:
        """(H, W, C) uint8; not to be written to."""
        return (
            self.pixels if self.pixels.dtype == np.uint8 else np.rint(self.pixels * 255).clip(0, 255).astype(np.uint8)
        )

    @property
    def shares(self) -> np.ndarray:
        """(H, W, C) floats in [0, 1]; not to be written to."""
        return self.pixels / 255 if self.pixels.dtype == np.uint8 else self.pixels

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def widening(self) -> Widening:
        return Widening(*self.size)

    def asked(self, control: Control, numbers: Sequence[int] | None = None) -> Source:
        """The same picture, translated as it is asked for; masks that are to be left as they are become empty.

        numbers: of the masks; None: counted from 0.
        """
        numbers = range(len(self.inside)) if numbers is None else numbers
        if not control:
            return self
        strengths = tuple(map(control.strength_of, numbers))
        inside = self.inside & (np.array(strengths) > 0)[:, None, None]  # (N, H, W)
        return replace(self, inside=inside, strengths=strengths, ranks=tuple(map(control.rank_of, numbers)))


def prepare(
    picture: Picture,
    masks: Masks = None,
    labels: Sequence[int] | None = None,
    targets: Targets = None,
    keypoints: Sequence[Any] | None = None,
    parts: Sequence[Any] | None = None,
    format: Format = RGB,
) -> Source:
    """Reads and checks. Masks must have the picture's size, both upright; without any, parts tell them. targets: one
    alone is that of all. format: of the images that a model was trained on."""
    return source_of(_pixels(picture, format), masks, labels, targets, keypoints, parts)


def source_of(
    pixels: np.ndarray,
    masks: Masks = None,
    labels: Sequence[int] | None = None,
    targets: Targets = None,
    keypoints: Sequence[Any] | None = None,
    parts: Sequence[Any] | None = None,
) -> Source:
    """``prepare`` of pixels as ``Format.read`` gives them."""
    of_parts = None if parts is None else label_maps(parts, pixels.shape[:2])
    inside = _masks(masks if masks is not None or of_parts is None else of_parts > 0, pixels.shape[:2])
    for told, given in (("keypoints", keypoints), ("parts", parts)):
        if given is not None and len(given) != len(inside):
            raise InputError(f"there are {told} of {len(given)} instances for {len(inside)} masks; pass those of each")
    if labels is not None and len(labels) != len(inside):
        raise InputError(f"there are {len(labels)} labels for {len(inside)} masks; pass one for every mask")
    known = tuple(int(label) for label in labels or [0] * len(inside))
    return Source(
        pixels,
        inside,
        known,
        targets=targets_for(targets, len(inside)),
        keypoints=points_for(keypoints),
        parts=of_parts,
    )


def targets_for(targets: Targets, count: int) -> tuple[str | int, ...] | None:
    """A target for each of so many instances. Raises ``InputError`` for another number of them."""
    if targets is None:
        return None
    if isinstance(targets, str | int):
        return (targets,) * count
    if len(targets) != count:
        raise InputError(f"there are {len(targets)} targets for {count} masks; pass one for every mask, or one name")
    return tuple(targets)


def batch_of(source: Source, attributes: int = 0) -> InstanceBatch:
    """One picture as a batch of one row, at a size that the networks take. Targets must be labels. attributes: how many
    parts there are."""
    widening = source.widening
    inside = torch.from_numpy(source.inside)  # (N, H, W)
    there = inside.flatten(1).any(1)  # (N,)
    keypoints = parts = None
    if source.keypoints is not None:
        keypoints = torch.where(there[:, None, None], torch.from_numpy(source.keypoints), 0)[None]  # (1, N, K, 3)
    if source.parts is not None:
        parts = widening.masks(mask_to_tensor(planes_of_labels(source.parts, source.inside, attributes)))[None]
    return InstanceBatch(
        widening.image(source.image)[None],
        widening.masks(mask_to_tensor(source.inside))[None],
        there[None],
        torch.tensor(source.labels, dtype=torch.long)[None],
        strengths=None if source.strengths is None else torch.tensor(source.strengths)[None],
        ranks=None if source.ranks is None else torch.tensor(source.ranks, dtype=torch.long)[None],
        targets=None if source.targets is None else torch.tensor(source.targets, dtype=torch.long)[None],
        keypoints=keypoints,
        given_attributes=parts,
    )


def style_of(style: Style, size: int | None = None) -> Tensor | InstanceBatch | None:
    """Codes (1 or n, S) float32, or an example as a batch of one row. size: S, where it is known."""
    if style is None:
        return None
    is_picture = isinstance(style, (str, os.PathLike, Image.Image))
    if is_picture or (isinstance(style, (np.ndarray, Tensor)) and style.ndim != 1 and not _are_codes(style, size)):
        return batch_of(prepare(style))  # type: ignore[arg-type]
    try:
        codes = torch.as_tensor(style, dtype=torch.float32).cpu()
    except (TypeError, ValueError, RuntimeError):
        codes = torch.full((1,), torch.nan)
    if codes.ndim not in (1, 2) or codes.numel() == 0 or not codes.isfinite().all():
        raise InputError("a style must be an image, or a list of numbers; pass one of them")
    return codes.reshape(-1, codes.shape[-1])  # (1 or n, S)


def _are_codes(style: np.ndarray | Tensor, size: int | None) -> bool:
    """Floats in rows that are shorter than any picture a style is taken from, or as long as a style."""
    floats = style.is_floating_point() if isinstance(style, Tensor) else style.dtype.kind == "f"
    return floats and style.ndim == 2 and (style.shape[1] < SMALLEST_EXAMPLE or style.shape[1] == size)


def _pixels(picture: Picture, format: Format) -> np.ndarray:
    """(H, W, C) uint8, or floats in [0, 1] where the values come as others."""
    if isinstance(picture, (str, os.PathLike)):
        return format.read(_path(picture))
    if not format.is_rgb and not isinstance(picture, Image.Image):
        return format.pixels(_values(picture), "the image")
    if isinstance(picture, Image.Image) and format.channels != 3:
        return format.pixels(values_of(_upright(picture, "the picture")), "the image")
    if isinstance(picture, Image.Image):
        return np.asarray(as_rgb(_upright(picture, "the picture")))
    if isinstance(picture, Tensor):
        values, layout = _array(picture), "tensor must be (H, W), (1, H, W) or (3, H, W)"
        values = values.transpose(1, 2, 0) if values.ndim == 3 else values  # (H, W, C)
    elif isinstance(picture, np.ndarray):
        values, layout = picture, "array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
    else:
        raise InputError(f"an image cannot be a {type(picture).__name__}; pass a path, PIL image, array or tensor")
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or values.size == 0:
        raise InputError(f"an image as {layout}, not {tuple(picture.shape)}")
    return np.broadcast_to(_levels(values[..., :3]), (*values.shape[:2], 3))


def _values(picture: Any) -> np.ndarray:
    """(H, W, C) of an array (H, W) or (H, W, C), or of a tensor (H, W) or (C, H, W)."""
    if not isinstance(picture, np.ndarray | Tensor):
        raise InputError(f"an image cannot be a {type(picture).__name__}; pass a path, PIL image, array or tensor")
    values = _array(picture) if isinstance(picture, Tensor) else picture
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim != 3 or values.size == 0 or values.dtype.kind not in "buif":
        raise InputError(
            f"an image as array must be numbers (H, W) or (H, W, C), not {picture.dtype} {tuple(picture.shape)}"
        )
    return values.transpose(1, 2, 0) if isinstance(picture, Tensor) and picture.ndim == 3 else values


def _array(tensor: Tensor) -> np.ndarray:
    """Of any device and type; numpy knows no bfloat16."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _levels(planes: np.ndarray) -> np.ndarray:
    """Values of any common type -> uint8, or float32 in [0, 1]."""
    if planes.dtype == np.bool_:
        planes = planes.astype(np.uint8) * np.uint8(255)
    if planes.dtype == np.uint8:
        return planes
    if planes.dtype.kind in "iu":
        low, high = int(planes.min()), int(planes.max())
        if low < 0 or high > 65535:
            raise InputError(
                f"whole numbers in an image must be from 0 to 255 (uint8) or 65535, not {low} to {high}; scale them"
            )
        deep = planes.dtype == np.uint16 or high > 255
        return (planes / 257 if deep else planes).round().astype(np.uint8)
    if planes.dtype.kind != "f":
        raise InputError(f"an image cannot be of type {planes.dtype}; pass uint8, uint16 or floats in [0, 1]")
    darkest, brightest = float(planes.min()), float(planes.max())
    if not (darkest >= 0 and brightest <= 1):
        raise InputError(f"floats in an image must be in [0, 1], not from {darkest:g} to {brightest:g}; scale them")
    return planes.astype(np.float32)


def _masks(masks: Masks, size: tuple[int, ...]) -> np.ndarray:
    """(N, H, W) bool."""
    if masks is None:
        masks = []
    if isinstance(masks, (str, os.PathLike, Image.Image)) or (
        isinstance(masks, (np.ndarray, Tensor)) and masks.ndim == 2
    ):
        masks = [masks]
    given = list(masks)
    found = np.zeros((len(given), *size), bool)
    for number, mask in enumerate(given):
        inside, name = _mask(mask, number)
        if inside.shape != size:
            raise InputError(
                f"{name} is {inside.shape[1]}x{inside.shape[0]} pixels and its image {size[1]}x{size[0]}; "
                "pass masks of the image's size, turned as it is"
            )
        found[number] = inside
    return found


def _mask(mask: Any, number: int) -> tuple[np.ndarray, str]:
    """(H, W) bool, and what to call it."""
    name = f"mask {number}"
    if isinstance(mask, (str, os.PathLike)):
        path = _path(mask)
        return read_inside(path), str(path)
    if isinstance(mask, Image.Image):
        return inside_of(_upright(mask, name), lossy=mask.format == "JPEG"), name
    if isinstance(mask, Tensor):
        mask = _array(mask)
    if not isinstance(mask, np.ndarray):
        raise InputError(f"{name} cannot be a {type(mask).__name__}; pass a path, PIL image, array or tensor")
    if mask.ndim == 3 and 1 in (mask.shape[0], mask.shape[2]):
        mask = mask[0] if mask.shape[0] == 1 else mask[..., 0]  # (1, H, W) or (H, W, 1)
    if mask.ndim != 2 or mask.size == 0 or mask.dtype.kind not in "buif":
        raise InputError(f"{name} must be numbers (H, W), not {mask.dtype} {tuple(mask.shape)}")
    if mask.dtype == np.bool_:
        return mask, name
    if not np.isfinite(mask).all():
        raise InputError(f"{name} holds values that are not numbers; pass 0 outside and 1 inside")
    limit = 0.0 if mask.min() < 0 else float(mask.max()) / 2  # -1 outside, as the networks have it, or 0
    return mask > limit, name


def _path(given: str | os.PathLike[str]) -> Path:
    path = Path(given)
    if not path.is_file():
        raise InputError(f"{path}: no such file; pass the path of an image")
    return path


def _upright(image: Image.Image, name: str) -> Image.Image:
    try:
        image.load()
        return ImageOps.exif_transpose(image)
    except Exception as error:  # decoding a damaged file can raise anything
        raise InputError(f"{name} cannot be read ({error}); fix the file") from None
