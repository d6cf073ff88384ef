"""The published loader's schedule: what the loader's ratios are taken against.

For a picture, and then for each of up to 20 mask files, whose names are tried one by one: open and convert, seed
Python's random numbers, torchvision's Resize (bicubic), RandomCrop, RandomHorizontalFlip, ToTensor, Normalize. A layer
of -1 stands in for every mask that is not there; all layers are joined at the end. torch's default batches.

As with any recent torchvision, which draws from torch instead, picture and masks are cropped and mirrored differently.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from instagan.errors import InputError
from instagan.io.torchvision_import import import_torchvision

MOST_MASKS = 20
"""Mask files that the published loader looks for."""

Transform = Callable[[Image.Image], Tensor]


class PublishedPairs(Dataset[dict[str, Any]]):
    """Pairs of pictures with their masks, in order."""

    def __init__(self, pictures: list[tuple[Path, Path]], transform: Transform) -> None:
        self.pictures = [tuple(map(str, pair)) for pair in pictures]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> dict[str, Any]:
        a_path, b_path = self.pictures[index]
        seed = random.randint(-sys.maxsize, sys.maxsize)
        images = [Image.open(path).convert("RGB") for path in (a_path, b_path)]
        a, b = (self._transformed(image, seed) for image in images)  # (3, h, w) each
        (a_masks, a_files), (b_masks, b_files) = (self._masks(path, seed) for path in (a_path, b_path))
        names = {"A_paths": a_path, "B_paths": b_path, "files": 2 + a_files + b_files}
        return {"A": a, "B": b, "A_segs": a_masks, "B_segs": b_masks} | names

    def _transformed(self, image: Image.Image, seed: int) -> Tensor:
        random.seed(seed)
        return self.transform(image)

    def _masks(self, picture: str, seed: int) -> tuple[Tensor, int]:
        """Layers (MOST_MASKS, h, w), and how many of them are files."""
        folder, name = os.path.split(picture)
        stem = os.path.join(f"{folder}_seg", os.path.splitext(name)[0])
        layers: list[Tensor] = []
        files = 0
        for number in range(MOST_MASKS):
            path = f"{stem}_{number}.png"
            if os.path.isfile(path):
                layers.append(self._transformed(Image.open(path).convert("L"), seed))
                files += 1
            else:
                layers.append(-torch.ones(layers[0].size() if layers else self._empty()))
        return torch.cat(layers), files

    def _empty(self) -> torch.Size:
        """Of a layer of a picture without any mask, at which the published loader stops."""
        return self.transform(Image.new("L", (1, 1))).size()


def published_transform(load: int, fine: int) -> tuple[Transform, str]:
    """Of a square ``load`` to a random square ``fine``, float32 in [-1, 1], and whose code does it."""
    try:
        torchvision = import_torchvision()
    except InputError:
        return PlainTransform(load, fine), "PIL and torch, for torchvision is not installed"
    steps = torchvision.transforms
    chain = [
        steps.Resize([load, load], Image.Resampling.BICUBIC),
        steps.RandomCrop([fine, fine]),
        steps.RandomHorizontalFlip(),
        steps.ToTensor(),
        steps.Normalize((0.5,), (0.5,)),
    ]
    return steps.Compose(chain), f"torchvision {torchvision.__version__}"


class PlainTransform:
    """The same without torchvision."""

    def __init__(self, load: int, fine: int) -> None:
        self.load, self.fine = load, fine

    def __call__(self, image: Image.Image) -> Tensor:
        left, top = (random.randint(0, self.load - self.fine) for _ in range(2))
        image = image.resize((self.load, self.load), Image.Resampling.BICUBIC)
        image = image.crop((left, top, left + self.fine, top + self.fine))
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image)).view(self.fine, self.fine, -1)  # (h, w, C)
        return pixels.permute(2, 0, 1).contiguous().float().div(255).sub_(0.5).div_(0.5)  # (C, h, w)
