"""The nouns that cross every border: a batch of pictures with their instances, and an unpaired batch of two domains.

Letters: B pictures in a batch, N instance slots, M chosen slots, R chosen rows, C channels, H x W picture, K keypoints,
A attribute planes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from instagan.structures.boxes import area, boxes_of_masks, rasterise
from instagan.structures.fields import Field, described
from instagan.structures.heat_maps import heat_maps, points_of

OUTSIDE, INSIDE = -1.0, 1.0
"""Value of a mask's pixel outside and inside of the instance: the range of tanh, so that networks can produce it."""


@dataclass(frozen=True, eq=False)
class InstanceBatch:
    """Pictures and the set of instances of each.

    image      (B, C, H, W) float in [-1, 1]; C is 3 unless a data set says otherwise
    masks      (B, N, H, W) float, -1 outside and +1 inside; an absent slot is -1 everywhere
    present    (B, N) bool on the CPU: which slots hold an instance
    labels     (B, N) long: category index, 0 where the data has one category
    boxes      (B, N, 4) float: left, top, right, bottom in pixels (see ``structures.boxes``); an absent slot is 0
    keypoints  (B, N, K, 3) float: x, y in pixels, and visibility, 0 where the point is unknown; or None
    targets    (B, N) long: the category index that each instance is to become; or None
    strengths  (B, N) float: how strongly each is translated, above 0 and at most 1, which is as trained; or None: 1
    ranks      (B, N) long: who is translated before whom, those of one rank in the method's own order; or None
    attributes (B, N, A, H, W) float in [-1, 1]: what is told of each beside its mask, in planes: a heat map for each
               keypoint, or the pixels +1 of each of its parts; an absent slot is -1 everywhere; or None

    ``given_masks`` and ``given_boxes`` are those that the data gave, at least one of them. The other is None, and
    ``masks`` or ``boxes`` derives it when it is first asked for: rectangles from boxes, tight boxes from masks. So does
    ``attributes`` with heat maps of keypoints, where there are no ``given_attributes``.

    ``present`` is the only truth about existence. It decides which work there is to do, so it stays on the CPU whatever
    the device of the others: the host then never waits for the device to plan the next step. Slot order has no meaning
    to a network. N may be 0: a plain picture. Every operation returns a new batch. Raises ``ValueError`` when shapes,
    types or devices do not fit together; values are not looked at.

    A new field is one more line here: every operation, the image pool, transport and files follow.
    """

    image: Tensor = field(metadata=described("BCHW", "float"))
    given_masks: Tensor | None = field(metadata=described("BNHW", "float", absent=OUTSIDE))
    present: Tensor = field(metadata=described("BN", "bool", on_cpu=True))
    labels: Tensor = field(metadata=described("BN", "long"))
    given_boxes: Tensor | None = field(default=None, metadata=described("BN4", "float"))
    keypoints: Tensor | None = field(default=None, metadata=described("BNK3", "float"))
    targets: Tensor | None = field(default=None, metadata=described("BN", "long"))
    strengths: Tensor | None = field(default=None, metadata=described("BN", "float"))
    ranks: Tensor | None = field(default=None, metadata=described("BN", "long"))
    given_attributes: Tensor | None = field(default=None, metadata=described("BNAHW", "float", absent=OUTSIDE))

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        for name, tensor in self.fields().items():
            FIELDS[name].check(name.removeprefix("given_"), tensor, sizes)
            if FIELDS[name].on_cpu and tensor.device.type != "cpu":
                raise ValueError(f"{name} must be on the CPU, not on {tensor.device}")
            if not FIELDS[name].on_cpu and tensor.device != self.image.device:
                raise ValueError(f"{name} must be on the device of the image, {self.image.device}, not {tensor.device}")
        if self.given_masks is None and self.given_boxes is None:
            raise ValueError("masks or boxes must be given")

    def fields(self) -> dict[str, Tensor]:
        """The tensors that it carries, by the names that the constructor takes; ``FIELDS`` tells what they are."""
        return {name: tensor for name in FIELDS if (tensor := getattr(self, name)) is not None}

    @classmethod
    def from_fields(cls, tensors: Mapping[str, Tensor]) -> InstanceBatch:
        """The batch that carries these tensors and no others: the opposite of ``fields``."""
        return cls(**{name: tensors.get(name) for name in FIELDS})  # type: ignore[arg-type]

    @property
    def masks(self) -> Tensor:
        """(B, N, H, W): those that the data gave, else rectangles."""
        return self._rectangles if self.given_masks is None else self.given_masks

    @property
    def boxes(self) -> Tensor:
        """(B, N, 4): those that the data gave, else around what is inside of the masks; 0 where nothing is."""
        return self._tight_boxes if self.given_boxes is None else self.given_boxes

    @property
    def attributes(self) -> Tensor | None:
        """(B, N, A, H, W): those that were given, else heat maps of the keypoints (A = K); None without either."""
        return self._heat_maps if self.given_attributes is None else self.given_attributes

    @property
    def points(self) -> Tensor | None:
        """(B, N, K, 3): the keypoints, or where each plane of the attributes is highest; None without either."""
        if self.keypoints is not None or self.given_attributes is None:
            return self.keypoints
        return points_of(self.given_attributes)

    def rasters(self, attributes: int) -> Tensor:
        """(B, N, 1 + A, H, W): what networks see of each instance, its mask and then its A = ``attributes`` planes.

        -1 in an absent slot. Raises ``ValueError`` where the instances have another number of planes.
        """
        masks = self.masks[:, :, None]  # (B, N, 1, H, W)
        if attributes == 0:
            return masks
        planes = self.attributes
        if planes is None and not self.present.any():
            planes = masks.new_full(masks.shape, OUTSIDE).expand(-1, -1, attributes, -1, -1)
        if planes is None or planes.shape[2] != attributes:
            found = 0 if planes is None else planes.shape[2]
            raise ValueError(f"instances must have {attributes} attribute planes, not {found}")
        return torch.cat([masks, planes.to(masks)], dim=2)

    @cached_property
    def _heat_maps(self) -> Tensor | None:
        if self.keypoints is None:
            return None
        return heat_maps(self.keypoints, *self.image.shape[2:]).to(self.image.dtype)

    @cached_property
    def _rectangles(self) -> Tensor:
        inside = rasterise(self.boxes, *self.image.shape[2:])  # (B, N, H, W)
        return torch.where(inside, INSIDE, OUTSIDE).to(self.image.dtype)

    @cached_property
    def _tight_boxes(self) -> Tensor:
        return boxes_of_masks(self.masks > 0)  # (B, N, 4)

    def rasterised(self) -> InstanceBatch:
        """The same instances as masks alone, rectangles where the data gave boxes: for a method that works on masks,
        which then neither draws them twice nor keeps boxes up to date."""
        return replace(self.drawn(), given_masks=self.masks, given_boxes=None)

    def drawn(self) -> InstanceBatch:
        """The same instances with heat maps in place of keypoints, for a method that works on them, as it then draws
        them once."""
        if self.keypoints is None:
            return self
        return replace(self, given_attributes=self.attributes, keypoints=None)

    @classmethod
    def from_masks(cls, image: Tensor, masks: Tensor, labels: Tensor | None = None) -> InstanceBatch:
        """Pictures (B, C, H, W) and masks (B, N, H, W) whose empty slots show no pixel inside; derives ``present``."""
        present = (masks > 0).flatten(2).any(2)  # (B, N)
        labels = torch.zeros_like(present, dtype=torch.long) if labels is None else labels
        return cls(image, torch.where(present[:, :, None, None], masks, OUTSIDE), present.cpu(), labels)

    @classmethod
    def from_rasters(cls, image: Tensor, rasters: Tensor, present: Tensor, labels: Tensor) -> InstanceBatch:
        """What networks made: pictures (B, C, H, W), and rasters (B, N, 1 + A, H, W) as ``rasters`` gives them."""
        attributes = rasters[:, :, 1:] if rasters.shape[2] > 1 else None
        return cls(image, rasters[:, :, 0], present, labels, given_attributes=attributes)

    @classmethod
    def from_images(cls, image: Tensor) -> InstanceBatch:
        """Pictures (B, C, H, W) without instances: N = 0."""
        rows, _, height, width = image.shape
        labels = image.new_zeros((rows, 0), dtype=torch.long)
        return cls(image, image.new_zeros((rows, 0, height, width)), torch.zeros((rows, 0), dtype=torch.bool), labels)

    @classmethod
    def cat(cls, batches: Sequence[InstanceBatch]) -> InstanceBatch:
        """All rows of the batches, one after the other; slots are padded with absent ones to the largest N.

        Fields that only some of them carry: see ``alike``.
        """
        slots = max(batch.slot_count for batch in batches)
        padded = [batch.slots(0, slots).fields() for batch in alike(batches)]
        return cls.from_fields({name: torch.cat([tensors[name] for tensors in padded]) for name in padded[0]})

    @property
    def slot_count(self) -> int:
        """N, the number of instance slots of every row, present or not."""
        return self.present.shape[1]

    def __len__(self) -> int:
        return self.image.shape[0]

    def __getitem__(self, rows: slice | Sequence[int] | Tensor) -> InstanceBatch:
        """Chosen rows: a slice, a list of indices, or an index tensor on the CPU. R rows, all slots."""
        if isinstance(rows, slice):
            return self._each(lambda _, tensor: tensor[rows])
        index = torch.as_tensor(rows)
        there = _sent(index, self.image.device)
        return self._each(lambda about, tensor: tensor[index if about.on_cpu else there])

    def slots(self, start: int, stop: int) -> InstanceBatch:
        """Slots start ... stop - 1 of every row: always stop - start of them, absent beyond N."""
        missing = stop - max(start, self.slot_count)

        def cut(about: Field, tensor: Tensor) -> Tensor:
            if not about.has_slots:
                return tensor
            kept = tensor[:, start:stop]
            if missing <= 0:
                return kept
            return torch.cat([kept, kept.new_full((len(self), missing, *kept.shape[2:]), about.absent)], dim=1)

        return self._each(cut)

    def keeping(self, kept: Tensor) -> InstanceBatch:
        """The same slots, of which those that are not kept, (B, N) bool on the CPU, become absent."""
        there = _sent(kept, self.image.device)

        def only(about: Field, tensor: Tensor) -> Tensor:
            if not about.has_slots:
                return tensor
            rest = (1,) * (tensor.ndim - kept.ndim)
            stays = (kept if about.on_cpu else there).reshape(*kept.shape, *rest)  # (B, N, 1, ...)
            return torch.where(stays, tensor, tensor.new_full((), about.absent))

        return self._each(only)

    def instances(self) -> tuple[Tensor, Tensor]:
        """The P present instances of the whole batch: row and slot of each, (P,) long, on the device of the image."""
        owner, slot = self.present.nonzero(as_tuple=True)
        return _sent(owner, self.image.device), _sent(slot, self.image.device)

    def select(self, order: Tensor) -> InstanceBatch:
        """Slots in a new order, row by row. order (B, M) long, each entry a slot of its row.

        Waits for the device if the order is on one; ``largest`` and ``first`` never do.
        """
        return self._gather(_sent(order, self.image.device), self.present.gather(1, order.cpu()))

    def order_by_area(self) -> Tensor:
        """Slots of every row from the largest instance to the smallest, absent ones last. Returns (B, N) long.

        An instance is as large as its mask, or where the data gave boxes alone, as its box.
        """
        size = area(self.boxes) if self.given_masks is None else (self.given_masks + 1).sum((2, 3))  # (B, N)
        # a present instance always precedes an absent slot
        size = size + _sent(self.present, self.image.device)  # (B, N)
        return size.argsort(dim=1, descending=True, stable=True)

    def order_of_slots(self) -> Tensor:
        """Slots of every row in their own order, absent ones last. Returns (B, N) long, on the CPU."""
        return self.present.to(torch.uint8).argsort(dim=1, descending=True, stable=True)

    def ranked(self, order: Tensor) -> Tensor:
        """An order of the slots, (B, N) long, sorted by their ``ranks`` where it carries some; absent ones last."""
        if self.ranks is None:
            return order
        order = _sent(order, self.image.device)
        last = torch.iinfo(torch.long).max
        ranks = torch.where(_sent(self.present, self.image.device), self.ranks, last)  # (B, N)
        return order.gather(1, ranks.gather(1, order).argsort(dim=1, stable=True))

    def largest(self, count: int | None = None) -> InstanceBatch:
        """The ``count`` largest instances of every row (all, if there are fewer or it is None), largest first."""
        return self._present_first(self.order_by_area(), count)

    def first(self, count: int | None = None) -> InstanceBatch:
        """The first ``count`` instances of every row (all, if there are fewer or it is None), in slot order."""
        return self._present_first(self.order_of_slots(), count)

    def _present_first(self, order: Tensor, count: int | None) -> InstanceBatch:
        """Slots in an order (B, N) that has absent ones last; what is present then, the host knows without it."""
        order = _sent(order[:, :count], self.image.device)  # (B, M)
        return self._gather(order, torch.arange(order.shape[1]) < self.present.sum(1, keepdim=True))

    def _gather(self, order: Tensor, present: Tensor) -> InstanceBatch:
        """Slots in an order (B, M) that is on the device; present (B, M): which of them hold an instance."""
        rows = torch.arange(len(self), device=order.device)[:, None]  # (B, 1)

        def gathered(about: Field, tensor: Tensor) -> Tensor:
            if not about.has_slots:
                return tensor
            return present if tensor is self.present else tensor[rows, order]

        return self._each(gathered)

    def with_slots_of(self, other: InstanceBatch) -> InstanceBatch:
        """The slots of this batch followed by those of another batch with the same rows; the image is this one's.

        Fields that only one of them carries: see ``alike``.
        """
        mine, theirs = (batch.fields() for batch in alike([self, other]))
        slots = {name: torch.cat([mine[name], theirs[name]], dim=1) for name in mine if FIELDS[name].has_slots}
        return InstanceBatch.from_fields(mine | slots)

    def paste(self, rows: Tensor, other: InstanceBatch) -> InstanceBatch:
        """Replaces the rows (R,) of this batch by those of ``other``, R rows with the same N. Differentiable.

        rows: on the CPU. Fields that only one of them carries: see ``alike``.
        """
        there = _sent(rows, self.image.device)
        whole, pasted = alike([self, other])
        theirs = pasted.fields()
        return InstanceBatch.from_fields(
            {
                name: tensor.index_copy(0, rows if FIELDS[name].on_cpu else there, theirs[name])
                for name, tensor in whole.fields().items()
            }
        )

    def union(self) -> Tensor:
        """All instances of a picture as one mask, (B, 1, H, W) in [-1, 1]; -1 everywhere when there is none.

        Inside-ness adds up and saturates, as in the published system: soft masks that overlap join to a firmer one.
        """
        inside = ((self.masks + 1) / 2).sum(1, keepdim=True).clamp(0, 1)  # (B, 1, H, W)
        return inside * 2 - 1

    def with_image(self, image: Tensor) -> InstanceBatch:
        """The same instances on another picture (B, C, H, W)."""
        return replace(self, image=image)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> InstanceBatch:
        """Everything but ``present``, which stays on the CPU."""
        return self._each(
            lambda about, tensor: tensor if about.on_cpu else tensor.to(device, non_blocking=non_blocking)
        )

    def pin_memory(self) -> InstanceBatch:
        return self._each(lambda _, tensor: tensor.pin_memory())

    def detach(self) -> InstanceBatch:
        return self._each(lambda _, tensor: tensor.detach())

    def _each(self, change: Callable[[Field, Tensor], Tensor]) -> InstanceBatch:
        """The batch of the changed tensors."""
        return InstanceBatch.from_fields({name: change(FIELDS[name], tensor) for name, tensor in self.fields().items()})


FIELDS: dict[str, Field] = {one.name: one.metadata["field"] for one in dataclasses.fields(InstanceBatch)}
"""By name, what holds for each tensor of an ``InstanceBatch``, in the order in which the constructor takes them."""


def alike(batches: Sequence[InstanceBatch]) -> list[InstanceBatch]:
    """The same batches, all carrying the fields that any of them carries.

    Masks and boxes that are missing are derived from each other. Of another field, a batch that holds no instance gets
    absent slots; ``ValueError`` where it holds one, for nobody knows the value.
    """
    examples = {name: tensor for batch in batches for name, tensor in batch.fields().items()}
    return [_carrying(examples, batch) for batch in batches]


def _carrying(examples: Mapping[str, Tensor], batch: InstanceBatch) -> InstanceBatch:
    missing = [name for name in examples if getattr(batch, name) is None]
    made: dict[str, Tensor] = {}
    for name in missing:
        if name in ("given_masks", "given_boxes"):
            made[name] = getattr(batch, name.removeprefix("given_"))
        elif batch.present.any():
            raise ValueError(f"one batch has {name} and another has none; both must have them, or neither")
        else:
            of_slot = examples[name].shape[2:]
            made[name] = examples[name].new_full((len(batch), batch.slot_count, *of_slot), FIELDS[name].absent)
    return replace(batch, **made) if made else batch


def _sent(index: Tensor, device: torch.device) -> Tensor:
    """A small tensor on its way to a device; the host goes on at once."""
    return index.to(device, non_blocking=index.device.type == "cpu")


@dataclass(frozen=True, eq=False)
class UnpairedBatch:
    """B pictures of each domain, unrelated to those of the others: ``pair["A"]`` is the batch of domain A.

    domains   letter -> its pictures, in the order of the letters
    paths     letter -> the file that each row was read from
    skipped   sentences on images that could not be read, so that the next ones are used instead

    Raises ``ValueError`` where letters or numbers of pictures differ, ``KeyError`` for a letter that it lacks.
    """

    domains: Mapping[str, InstanceBatch]
    paths: Mapping[str, tuple[str, ...]]
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.domains or list(self.domains) != list(self.paths):
            raise ValueError(f"pictures of {[*self.domains]}, paths of {[*self.paths]}: must be of the same domains")
        counts = {*map(len, self.domains.values()), *map(len, self.paths.values())}
        if len(counts) > 1:
            raise ValueError(f"all domains must have the same number of pictures and paths, not {sorted(counts)}")

    def __getitem__(self, letter: str) -> InstanceBatch:
        return self.domains[letter]

    def __len__(self) -> int:
        """B."""
        return len(next(iter(self.paths.values())))

    def changed(self, change: Callable[[InstanceBatch], InstanceBatch]) -> UnpairedBatch:
        """The same files, with the pictures of every domain changed; as many as before."""
        return replace(self, domains={letter: change(batch) for letter, batch in self.domains.items()})

    def to(self, device: torch.device | str, non_blocking: bool = False) -> UnpairedBatch:
        return self.changed(lambda batch: batch.to(device, non_blocking))

    def pin_memory(self) -> UnpairedBatch:
        return self.changed(lambda batch: batch.pin_memory())
