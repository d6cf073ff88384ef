"""What holds for each tensor of an ``InstanceBatch``: written once, beside its name, and followed everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

KINDS = {"float": None, "bool": torch.bool, "long": torch.long}


@dataclass(frozen=True)
class Field:
    """What holds for one tensor of an ``InstanceBatch``.

    shape   a letter for each dimension, such as BNHW, of one size in all tensors; a digit is the size itself
    kind    float (any precision), bool or long
    absent  its value in an absent slot
    on_cpu  whether it stays on the CPU, whatever the device of the others
    """

    shape: str
    kind: str
    absent: float = 0
    on_cpu: bool = False

    @property
    def has_slots(self) -> bool:
        return "N" in self.shape

    def check(self, name: str, tensor: Tensor, sizes: dict[str, int]) -> None:
        """Raises ``ValueError`` unless it has the kind and the shape. sizes: of the letters so far; gains new ones."""
        is_kind = tensor.is_floating_point() if self.kind == "float" else tensor.dtype == KINDS[self.kind]
        fits = tensor.ndim == len(self.shape) and all(
            size == (int(letter) if letter.isdigit() else sizes.setdefault(letter, size))
            for letter, size in zip(self.shape, tensor.shape, strict=True)
        )
        if not (is_kind and fits):
            wanted = ", ".join(f"{letter}={sizes[letter]}" if letter in sizes else letter for letter in self.shape)
            raise ValueError(f"{name} must be {self.kind} ({wanted}), not {tensor.dtype} {tuple(tensor.shape)}")


def described(shape: str, kind: str, absent: float = 0, on_cpu: bool = False) -> Mapping[str, Field]:
    """The metadata of a dataclass's field: a ``Field``."""
    return {"field": Field(shape, kind, absent, on_cpu)}
