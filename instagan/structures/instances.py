"""The nouns that cross every border: a batch of pictures with their instances, and an unpaired batch of two domains.

Letters: B pictures in a batch, N instance slots, M chosen slots, R chosen rows, H x W picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

OUTSIDE, INSIDE = -1.0, 1.0
"""Value of a mask's pixel outside and inside of the instance: the range of tanh, so that networks can produce it."""


@dataclass(frozen=True, eq=False)
class InstanceBatch:
    """Pictures and the set of instance masks of each.

    image   (B, 3, H, W) float in [-1, 1]
    masks   (B, N, H, W) float, -1 outside and +1 inside
    present (B, N) bool on the CPU: which slots hold an instance; an absent slot is -1 everywhere
    labels  (B, N) long: category index, 0 where the data has one category

    ``present`` is the only truth about existence. It decides which work there is to do, so it stays on the CPU whatever
    the device of the others: the host then never waits for the device to plan the next step. Slot order has no meaning
    to a network. N may be 0: a plain picture. Every operation returns a new batch. Raises ``ValueError`` when shapes,
    types or devices do not fit together; values are not looked at.
    """

    image: Tensor
    masks: Tensor
    present: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.image.ndim != 4 or self.image.shape[1] != 3 or not self.image.is_floating_point():
            raise ValueError(f"image must be float (B, 3, H, W), not {self.image.dtype} {tuple(self.image.shape)}")
        if self.masks.ndim != 4 or not self.masks.is_floating_point():
            raise ValueError(f"masks must be float (B, N, H, W), not {self.masks.dtype} {tuple(self.masks.shape)}")
        rows, _, height, width = self.image.shape
        if (self.masks.shape[0], *self.masks.shape[2:]) != (rows, height, width):
            raise ValueError(f"masks {tuple(self.masks.shape)} do not fit the image {tuple(self.image.shape)}")
        for name, tensor, dtype in (("present", self.present, torch.bool), ("labels", self.labels, torch.long)):
            if tensor.shape != self.masks.shape[:2] or tensor.dtype != dtype:
                raise ValueError(
                    f"{name} must be {dtype} {tuple(self.masks.shape[:2])}, not {tensor.dtype} {tuple(tensor.shape)}"
                )
        if not self.image.device == self.masks.device == self.labels.device:
            raise ValueError("image, masks and labels must be on one device")
        if self.present.device.type != "cpu":
            raise ValueError(f"present must be on the CPU, not on {self.present.device}")

    @classmethod
    def from_masks(cls, image: Tensor, masks: Tensor, labels: Tensor | None = None) -> InstanceBatch:
        """Pictures (B, 3, H, W) and masks (B, N, H, W) whose empty slots show no pixel inside; derives ``present``."""
        present = (masks > 0).flatten(2).any(2)  # (B, N)
        labels = torch.zeros_like(present, dtype=torch.long) if labels is None else labels
        return cls(image, torch.where(present[:, :, None, None], masks, OUTSIDE), present.cpu(), labels)

    @classmethod
    def from_images(cls, image: Tensor) -> InstanceBatch:
        """Pictures (B, 3, H, W) without instances: N = 0."""
        rows, _, height, width = image.shape
        labels = image.new_zeros((rows, 0), dtype=torch.long)
        return cls(image, image.new_zeros((rows, 0, height, width)), torch.zeros((rows, 0), dtype=torch.bool), labels)

    @classmethod
    def cat(cls, batches: Sequence[InstanceBatch]) -> InstanceBatch:
        """All rows of the batches, one after the other; slots are padded with absent ones to the largest N."""
        slots = max(batch.slot_count for batch in batches)
        padded = [batch.slots(0, slots) for batch in batches]
        return cls(*(torch.cat(tensors) for tensors in zip(*(batch._tensors() for batch in padded), strict=True)))

    @property
    def slot_count(self) -> int:
        """N, the number of instance slots of every row, present or not."""
        return self.masks.shape[1]

    def __len__(self) -> int:
        return self.image.shape[0]

    def __getitem__(self, rows: slice | Sequence[int] | Tensor) -> InstanceBatch:
        """Chosen rows: a slice, a list of indices, or an index tensor on the CPU. R rows, all slots."""
        if isinstance(rows, slice):
            return InstanceBatch(*(tensor[rows] for tensor in self._tensors()))
        index = torch.as_tensor(rows)
        there = _sent(index, self.image.device)
        return InstanceBatch(self.image[there], self.masks[there], self.present[index], self.labels[there])

    def slots(self, start: int, stop: int) -> InstanceBatch:
        """Slots start ... stop - 1 of every row: always stop - start of them, absent beyond N."""
        missing = stop - max(start, self.slot_count)
        kept = [tensor[:, start:stop] for tensor in (self.masks, self.present, self.labels)]
        if missing > 0:
            fills = (OUTSIDE, False, 0)
            kept = [
                torch.cat([tensor, tensor.new_full((len(self), missing, *tensor.shape[2:]), fill)], dim=1)
                for tensor, fill in zip(kept, fills, strict=True)
            ]
        return InstanceBatch(self.image, *kept)

    def instances(self) -> tuple[Tensor, Tensor]:
        """The P present instances of the whole batch: row and slot of each, (P,) long, on the device of the masks."""
        owner, slot = self.present.nonzero(as_tuple=True)
        return _sent(owner, self.masks.device), _sent(slot, self.masks.device)

    def select(self, order: Tensor) -> InstanceBatch:
        """Slots in a new order, row by row. order (B, M) long, each entry a slot of its row.

        Waits for the device if the order is on one; ``largest`` and ``first`` never do.
        """
        masks, labels = self._gather(_sent(order, self.masks.device))
        return InstanceBatch(self.image, masks, self.present.gather(1, order.cpu()), labels)

    def order_by_area(self) -> Tensor:
        """Slots of every row from the largest instance to the smallest, absent ones last. Returns (B, N) long."""
        # a present instance always precedes an absent slot
        area = (self.masks + 1).sum((2, 3)) + _sent(self.present, self.masks.device)  # (B, N)
        return area.argsort(dim=1, descending=True, stable=True)

    def order_of_slots(self) -> Tensor:
        """Slots of every row in their own order, absent ones last. Returns (B, N) long, on the CPU."""
        return self.present.to(torch.uint8).argsort(dim=1, descending=True, stable=True)

    def largest(self, count: int | None = None) -> InstanceBatch:
        """The ``count`` largest instances of every row (all, if there are fewer or it is None), largest first."""
        return self._present_first(self.order_by_area(), count)

    def first(self, count: int | None = None) -> InstanceBatch:
        """The first ``count`` instances of every row (all, if there are fewer or it is None), in slot order."""
        return self._present_first(self.order_of_slots(), count)

    def _present_first(self, order: Tensor, count: int | None) -> InstanceBatch:
        """Slots in an order (B, N) that has absent ones last; what is present then, the host knows without it."""
        masks, labels = self._gather(_sent(order[:, :count], self.masks.device))
        taken = torch.arange(masks.shape[1])  # (M,)
        return InstanceBatch(self.image, masks, taken < self.present.sum(1, keepdim=True), labels)

    def _gather(self, order: Tensor) -> tuple[Tensor, Tensor]:
        rows = torch.arange(len(self), device=order.device)[:, None]  # (B, 1)
        return self.masks[rows, order], self.labels[rows, order]

    def with_slots_of(self, other: InstanceBatch) -> InstanceBatch:
        """The slots of this batch followed by those of another batch with the same rows; the image is this one's."""
        masks, present, labels = (
            torch.cat([mine, theirs], dim=1)
            for mine, theirs in zip(self._tensors()[1:], other._tensors()[1:], strict=True)
        )
        return InstanceBatch(self.image, masks, present, labels)

    def paste(self, rows: Tensor, other: InstanceBatch) -> InstanceBatch:
        """Replaces the rows (R,) of this batch by those of ``other``, R rows with the same N. Differentiable.

        rows: on the CPU.
        """
        there = _sent(rows, self.image.device)
        return InstanceBatch(
            self.image.index_copy(0, there, other.image),
            self.masks.index_copy(0, there, other.masks),
            self.present.index_copy(0, rows, other.present),
            self.labels.index_copy(0, there, other.labels),
        )

    def union(self) -> Tensor:
        """All instances of a picture as one mask, (B, 1, H, W) in [-1, 1]; -1 everywhere when there is none.

        Inside-ness adds up and saturates, as in the published system: soft masks that overlap join to a firmer one.
        """
        inside = ((self.masks + 1) / 2).sum(1, keepdim=True).clamp(0, 1)  # (B, 1, H, W)
        return inside * 2 - 1

    def boxes(self) -> Tensor:
        """Bounding boxes (B, N, 4) as left, top, right, bottom in pixels, right and bottom exclusive; 0 when empty."""
        inside = self.masks > 0  # (B, N, H, W)
        edges = []
        for along in (inside.any(2), inside.any(3)):  # columns (B, N, W), then lines (B, N, H)
            length = along.shape[2]
            position = torch.arange(length, device=along.device)
            low = torch.where(along, position, length).amin(2)  # (B, N)
            high = torch.where(along, position + 1, 0).amax(2)  # (B, N)
            edges.append((torch.minimum(low, high), high))
        (left, right), (top, bottom) = edges
        return torch.stack([left, top, right, bottom], dim=2)

    def with_image(self, image: Tensor) -> InstanceBatch:
        """The same instances on another picture (B, 3, H, W)."""
        return replace(self, image=image)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> InstanceBatch:
        """Everything but ``present``, which stays on the CPU."""
        image, masks, labels = (
            tensor.to(device, non_blocking=non_blocking) for tensor in (self.image, self.masks, self.labels)
        )
        return InstanceBatch(image, masks, self.present, labels)

    def pin_memory(self) -> InstanceBatch:
        return InstanceBatch(*(tensor.pin_memory() for tensor in self._tensors()))

    def detach(self) -> InstanceBatch:
        return InstanceBatch(*(tensor.detach() for tensor in self._tensors()))

    def _tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.image, self.masks, self.present, self.labels


def _sent(index: Tensor, device: torch.device) -> Tensor:
    """A small tensor on its way to a device; the host goes on at once."""
    return index.to(device, non_blocking=index.device.type == "cpu")


@dataclass(frozen=True, eq=False)
class UnpairedBatch:
    """B pictures of each domain, unrelated to those of the others: ``pair["A"]`` is the ``InstanceBatch`` of domain A,
    ``pair.paths["A"]`` the files its rows were read from. skipped: sentences on images that could not be read, so
    that the next ones are used instead. Raises ``ValueError`` where the counts differ, ``KeyError`` for a letter
    that is no domain of it."""

    a: InstanceBatch
    b: InstanceBatch
    a_paths: tuple[str, ...]
    b_paths: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = {len(self.a), len(self.b), len(self.a_paths), len(self.b_paths)}
        if len(counts) > 1:
            raise ValueError(f"both domains must have the same number of pictures and paths, not {sorted(counts)}")

    @property
    def domains(self) -> dict[str, InstanceBatch]:
        """Letter -> pictures, in the order of the letters."""
        return {"A": self.a, "B": self.b}

    @property
    def paths(self) -> dict[str, tuple[str, ...]]:
        """Letter -> the file of each row."""
        return {"A": self.a_paths, "B": self.b_paths}

    def __getitem__(self, letter: str) -> InstanceBatch:
        return self.domains[letter]

    def __len__(self) -> int:
        return len(self.a)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> UnpairedBatch:
        return replace(self, a=self.a.to(device, non_blocking), b=self.b.to(device, non_blocking))

    def pin_memory(self) -> UnpairedBatch:
        return replace(self, a=self.a.pin_memory(), b=self.b.pin_memory())
