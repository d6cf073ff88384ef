"""The processes ("ranks") that train one model together: torch.distributed behind one noun.

Why not ``DistributedDataParallel``: a step backpropagates a network several times, through several graphs, and a rank
that has no instance left backpropagates nothing, while DDP expects every rank to run forward and backward once in step.
So gradients are summed here explicitly, in flat buckets and asynchronously, once an update's last graph is through.

Collectives wait for all ranks: every method of ``World`` that takes part in one must be called by all of them, in the
same order. What decides whether one is called must therefore be known to all: see ``engine/update.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from instagan.errors import InputError

T = TypeVar("T")
BUCKET_BYTES = 25 * 2**20
"""Gradients travel in pieces of about this size: large enough for full speed, small enough to overlap."""


class LostRankError(RuntimeError):
    """Another rank has ended in the middle of a step: this one cannot go on either."""


class World:
    """``size`` ranks, of which this process is number ``rank``. With more than one, torch's default process group must
    be there; a rank's tensors are on one device, small facts travel on the CPU."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which alone prints, logs and saves."""
        return self.rank == 0

    @contextmanager
    def raising_together(self) -> Iterator[None]:
        """An ``InputError`` (or the end of the program) within it on one rank is raised on all, by the lowest rank."""
        problem: InputError | SystemExit | None = None
        try:
            yield
        except (InputError, SystemExit) as error:
            if self.size == 1:
                raise
            problem = error
        first = next((found for found in self.all_gather_object(problem) if found is not None), None)
        if first is not None:
            raise first

    def from_main(self, make: Callable[[], T]) -> T:
        """What ``make`` returns on rank 0, on all ranks. No other rank calls it."""
        made: list[Any] = [None]
        with self.raising_together():
            if self.is_main:
                made = [make()]
        if self.size > 1:
            with lost_rank():
                distributed.broadcast_object_list(made, src=0)
        return made[0]

    def all_gather_object(self, fact: T) -> list[T]:
        """A plain object of this rank -> those of all ranks, in order."""
        if self.size == 1:
            return [fact]
        found: list[Any] = [None] * self.size
        with lost_rank():
            distributed.all_gather_object(found, fact)
        return found

    def gather(self, values: Tensor, lengths: Sequence[int]) -> list[Tensor]:
        """Flat values of this rank -> those of all ranks; lengths: how many come from each."""
        if self.size == 1:
            return [values]
        padded = torch.cat((values, values.new_zeros(max(lengths) - len(values))))
        return [row[:length] for row, length in zip(self._gathered(padded), lengths, strict=True)]

    def add(self, values: Tensor) -> Tensor:
        """The sum over all ranks."""
        if self.size > 1:
            with lost_rank():
                distributed.all_reduce(values)
        return values

    def add_with_gradient(self, values: Tensor) -> Tensor:
        """The sum over all ranks, through which gradients flow back to the values of every rank.

        Their backward pass is a collective, too.
        """
        return values if self.size == 1 else _Sum.apply(values)

    def add_gradients(self, weights: Sequence[nn.Parameter]) -> None:
        """Gives every weight the sum of its gradients on all ranks; one without a gradient counts as 0.

        They travel in buckets, all of them at the same time. On a GPU the host goes on; the work after this waits.
        """
        if self.size == 1:
            return
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        travelling = []
        with lost_rank():
            for bucket in _buckets([weight.grad for weight in weights if weight.grad is not None]):
                flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
                travelling.append((bucket, flat, distributed.all_reduce(flat, async_op=True)))
            for bucket, flat, work in travelling:
                work.wait()
                parts = flat.split([gradient.numel() for gradient in bucket])
                for gradient, part in zip(bucket, parts, strict=True):
                    gradient.copy_(part.view(gradient.shape))

    def copy_from_main(self, model: nn.Module) -> None:
        """Gives every rank the weights and buffers of rank 0."""
        if self.size > 1:
            with lost_rank(), torch.no_grad():
                for tensor in (*model.parameters(), *model.buffers()):
                    sent = tensor.detach().contiguous()
                    distributed.broadcast(sent, src=0)
                    tensor.copy_(sent)

    def _gathered(self, values: Tensor) -> Tensor:
        """(n,) on every rank -> (size, n)."""
        found = values.new_empty((self.size, len(values)))
        with lost_rank():
            distributed.all_gather(list(found), values)
        return found


ALONE = World()


class _Sum(torch.autograd.Function):
    """Every rank's loss depends on the sum, so what a value's gradient is adds up over all ranks, too."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _summed(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(values: Tensor) -> Tensor:
    total = values.clone(memory_format=torch.contiguous_format)
    with lost_rank():
        distributed.all_reduce(total)
    return total


def _buckets(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """Consecutive tensors of one type, together about ``BUCKET_BYTES``; a single larger one is a bucket of its own."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size + tensor.nbytes > BUCKET_BYTES or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket


@contextmanager
def lost_rank() -> Iterator[None]:
    """What fails between ranks fails because another one has gone: one exception for the backends' many."""
    try:
        yield
    except RuntimeError as error:
        raise LostRankError(str(error).partition("\n")[0]) from error
