"""One update of the weights, made by all ranks from all accumulated batches: what a training step is written with.

W ranks with K batches of b rows each make the update of one process with a batch of W x K x b rows, exactly: a loss is
a mean over all rows that take part in it, or over all objects of a domain, wherever they are, and gradients are added.
Rows have an order: that of the rank, then of the batch, then within the batch.

A method yields its losses, and this module does the rest: it weights them, backpropagates one graph after the other
(so that no two of them are in memory at the same time), exchanges gradients, pools and losses between ranks, and steps
the optimizers. Collectives wait for all ranks, so all ranks take the same turns, also one that has nothing to do.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils.parametrize import cached

from engine.freezing import power_iteration_held
from engine.gradients import add_gradients
from engine.optimizer import GuardedAdam, step
from engine.parallel import ALONE, World
from engine.pools import show_pool
from engine.schedule import Progress
from instagan.kernels.allocator import return_free_pages
from instagan.structures.calls import few_pixels
from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.sequential import MiniBatch
from instagan.structures.sums import Sum, summed_by


@dataclass(frozen=True, eq=False)
class PerObject:
    """A loss over objects. values (P,): one for each present instance of a batch, in any order; P may be 0.

    domain: the letter of the domain that the objects are from. What counts is the mean over all present instances of
    this domain, of all ranks and batches of the update, so that a picture with many objects weighs more than one with
    few; 0 where there is none at all.
    """

    values: Tensor
    domain: str


Losses = dict[str, Tensor]
"""Name -> loss. A method gives one value per row, (R,); what is reported is their mean, ()."""
Yielded = Mapping[str, Tensor | PerObject]
"""Name -> loss as a method yields it: one value per row, (R,), or one per object."""
Pictures = dict[str, InstanceBatch]
"""What to show of a batch, by name and in order: {"real_A": ..., "fake_B": ..., "rec_A": ...}."""
Objective = Callable[[Any, MiniBatch], Iterator[Yielded]]
"""(way, turn) -> losses, one dict per independent graph; a generator that may return ``Pictures`` by source domain."""
OfRows = Callable[[Any, Any], Tensor]
"""(way, turn) -> something of each of its rows, (R, ...), of one shape and type for all turns."""


class Turn(Protocol):
    """What the objectives are given: some rows of a batch, what was made of them, what else the method needs."""

    source: InstanceBatch


class Turns(Protocol):
    """What a method does with one batch, in turns that are made when they are asked for.

    rows: of each turn, the rows (R,) that take part in it; known before any is made.
    """

    rows: Sequence[Tensor]

    def __iter__(self) -> Iterator[Turn]: ...


class Update:
    """One update of the weights, from this rank's batches ``pairs`` (perhaps none) and those of the other ranks.

    progress    where the run stands before it
    pictures    source domain -> what to show of this rank's first batch
    history     the losses of every ``minimise`` in order: this rank's part, detached
    whole       False, set by a method, where it trains a part of itself only and the rest in later updates: losses and
                pictures that are due are then those of the next whole update
    """

    whole = True

    def __init__(
        self,
        pairs: Sequence[UnpairedBatch],
        *,
        world: World = ALONE,
        row_counts: Sequence[Sequence[int]] | None = None,
        progress: Progress | None = None,
        seed: int = 0,
        requests: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        """row_counts: rows of every batch of every rank; by default this is a single process. device: of ``pairs``.

        requests: what the ranks ask for: the largest number of a signal, 0 for none, plus bits for other wishes.
        """
        self.pairs, self.world, self.seed, self.requests = pairs, world, seed, requests
        self.row_counts = [list(map(len, pairs))] if row_counts is None else row_counts
        self.progress, self.device = progress or Progress(), torch.device(device)
        self.pictures: dict[str, Pictures] = {}
        self.history: list[Losses] = []
        self._types: list[dict[str, torch.dtype]] = []  # of the losses of every ``minimise``, on any rank

    def to(self, device: torch.device) -> Update:
        """The same update, its batches on a device."""
        return Update(
            [pair.to(device, non_blocking=True) for pair in self.pairs],
            world=self.world,
            row_counts=self.row_counts,
            progress=self.progress,
            seed=self.seed,
            requests=self.requests,
            device=device,
        )

    @property
    def pair_count(self) -> int:
        """Pairs of pictures on all ranks."""
        return sum(map(sum, self.row_counts))

    def generators(self, pair: UnpairedBatch, way: int = 0) -> list[torch.Generator]:
        """A source of random numbers for each row of one of ``pairs``, on the CPU, by (seed, step, row of all ranks).

        A row gets the same numbers for any number of ranks and batches, and others in each way (its number, from 0).
        """
        number = next(number for number, own in enumerate(self.pairs) if own is pair)
        own = self.row_counts[self.world.rank]
        first = sum(map(sum, self.row_counts[: self.world.rank])) + sum(own[:number])
        return [_generator(self.seed, self.progress.steps, first + row, way) for row in range(len(pair))]

    def show(self, source: str, pictures: Pictures) -> None:
        """Pictures of the first batch; what is shown later under a name takes the place of what was shown before."""
        self.pictures.setdefault(source, {}).update(pictures)

    def in_lockstep(
        self, ways: Sequence[Any], turns: Callable[[Any, UnpairedBatch], Turns]
    ) -> Iterator[SimultaneousTurns]:
        """The first turns of all batches in all ways, then the second ones, and so on: equally many on all ranks.

        ways: the directions that a method learns, or anything else; turns: (way, batch) -> what is done with it.
        """
        planned = [
            _Planned(number, way, [len(rows) for rows in plan.rows], iter(plan))
            for number, pair in enumerate(self.pairs)
            for way in range(len(ways))
            for plan in [turns(ways[way], pair)]
        ]
        told = self.world.all_gather_object(
            ([(plan.way, plan.row_counts) for plan in planned], self._own_object_counts())
        )
        everybody = [of_batch for of_rank, _ in told for of_batch in of_rank]
        object_counts = Counter[str]()
        for _, of_rank in told:
            object_counts.update(of_rank)
        for time in range(max((len(row_counts) for _, row_counts in everybody), default=0)):
            rows = [0] * len(ways)
            for way, row_counts in everybody:
                rows[way] += row_counts[time] if time < len(row_counts) else 0
            here = [
                _Place(plan.batch, ways[plan.way], rows[plan.way], plan.turns)
                for plan in planned
                if time < len(plan.row_counts)
            ]
            ways_here = [way for way, count in zip(ways, rows, strict=True) if count]
            yield SimultaneousTurns(self, ways_here, here, dict(object_counts), self._sum_over(told, time))
            if self.device.type == "cpu":
                return_free_pages()

    def _sum_over(self, told: Sequence[tuple[list[tuple[int, list[int]]], Counter[str]]], time: int) -> Sum | None:
        """How layers may add up over all rows of this time; None where this rank must, or can, do without the others.

        Layers call collectives, so all ranks must run the same networks: those with as many batches in the same ways.
        """
        ways = [[way for way, row_counts in of_rank if time < len(row_counts)] for of_rank, _ in told]
        return self.world.add_with_gradient if len(ways) > 1 and all(one == ways[0] for one in ways) else None

    def at_once(
        self, ways: Sequence[Any], turn: Callable[[Any, UnpairedBatch, list[torch.Generator]], Turn]
    ) -> Iterator[SimultaneousTurns]:
        """As ``in_lockstep``, for methods that take a batch as a whole: one turn of every batch in every way.

        turn: (way, batch, random numbers for each row) -> what the objectives are given; called when it is needed.
        """
        numbers = {id(way): number for number, way in enumerate(ways)}
        return self.in_lockstep(
            ways,
            lambda way, pair: _One(len(pair), lambda: turn(way, pair, self.generators(pair, numbers[id(way)]))),
        )

    def _own_object_counts(self) -> Counter[str]:
        """Domain -> present instances in this rank's batches."""
        counts = Counter[str]()
        for pair in self.pairs:
            counts.update({letter: int(batch.present.sum()) for letter, batch in pair.domains.items()})
        return counts

    def losses(self) -> Losses:
        """Every loss over the rows of all ranks: the mean of the times that it was minimised. All ranks must ask."""
        types = {name: dtype for of_one in self._types for name, dtype in of_one.items()}
        if not types:
            return {}
        means = []
        for name, dtype in types.items():
            found = [losses[name] for losses in self.history if name in losses]
            times = sum(name in of_one for of_one in self._types)
            none = torch.zeros((), dtype=dtype, device=self.device)
            means.append(torch.stack(found).sum() / times if found else none)
        return dict(zip(types, self.world.add(torch.stack(means)).unbind(), strict=True))


class _One:
    """A single turn, in which all rows of a batch take part."""

    def __init__(self, rows: int, make: Callable[[], Turn]) -> None:
        self.rows, self.make = [torch.arange(rows)], make

    def __iter__(self) -> Iterator[Turn]:
        yield self.make()


@dataclass(frozen=True)
class _Planned:
    """The turns of one batch in one way: number of the batch, place of the way, rows of each turn, and the turns."""

    batch: int
    way: int
    row_counts: list[int]
    turns: Iterator[MiniBatch]


@dataclass
class _Place:
    """Where a turn is taken: in one way, on one batch of this rank. rows: of all ranks that take part in this way."""

    batch: int
    way: Any
    rows: int
    turns: Iterator[MiniBatch]
    taken: MiniBatch | None = None

    @property
    def turn(self) -> MiniBatch:
        """Made when it is first asked for, with the weights of that moment."""
        if self.taken is None:
            self.taken = next(self.turns)
        return self.taken


@dataclass(eq=False)
class Gathered:
    """Something of each row of all turns in one way, on all ranks: what ``SimultaneousTurns.gather`` returns.

    rows        (R of all ranks, ...) in their order, without the graph that they come from
    turn_count  turns on all ranks

    The losses of a turn may depend on all rows, and the gradient of a row is then made of the losses of all turns. So
    it takes two passes: each turn's losses reach its own rows through its own graph (``with_own``), and leave at the
    others' what they have to say; that is added up over all ranks, and sent back through the graphs of those rows,
    which are made once more for that. A single turn needs no second pass.
    """

    rows: Tensor
    of_rows: OfRows
    places: list[_Place]
    starts: list[int]
    turn_count: int

    def with_own(self, turn: Any, own: Tensor) -> Tensor:
        """(R of all ranks, ...): all rows, those of this turn being ``own`` (R, ...), which has its graph."""
        (start,) = (start for place, start in zip(self.places, self.starts, strict=True) if place.turn is turn)
        return torch.cat([self.rows[:start], own, self.rows[start + len(own) :]])

    def backpropagate(self, world: World) -> None:
        """Sends the gradients that losses left at other turns' rows through the graphs of those. All ranks must ask."""
        left = torch.zeros_like(self.rows) if self.rows.grad is None else self.rows.grad
        gradient, self.rows.grad = world.add(left), None
        for place, start in zip(self.places, self.starts, strict=True):
            own = self.of_rows(place.way, place.turn)
            own.backward(gradient[start : start + len(own)])


class SimultaneousTurns:
    """One turn of every batch of this rank that still takes one, in every way.

    ways: those of any rank with one. object_counts: domain -> present instances on all ranks in this update. summed:
    how layers add up over the rows of all ranks; None: each rank does so for itself.
    """

    def __init__(
        self,
        update: Update,
        ways: list[Any],
        places: list[_Place],
        object_counts: Mapping[str, int],
        summed: Sum | None = None,
    ) -> None:
        self.update, self.ways, self.places, self.object_counts = update, ways, places, object_counts
        self.summed = summed

    def gather(self, way: Any, of_rows: OfRows) -> Gathered:
        """What ``of_rows`` tells of each row of every turn in this way, on all ranks: for losses that are no sum over
        rows, because one row's depends on all of them. At least one rank must have a turn; all ranks must ask.
        """
        places = [place for place in self.places if place.way is way]
        with torch.no_grad():
            own = [of_rows(way, place.turn) for place in places]
        world = self.update.world
        told = world.all_gather_object([(tuple(one.shape), one.dtype) for one in own])
        (row_shape, dtype), *_ = [(shape[1:], dtype) for of_rank in told for shape, dtype in of_rank]
        none = torch.zeros(0, dtype=dtype, device=self.update.device)
        flat = torch.cat([none, *(one.reshape(-1) for one in own)])
        lengths = [sum(prod(shape) for shape, _ in of_rank) for of_rank in told]
        rows = torch.cat(world.gather(flat, lengths)).view(-1, *row_shape)  # (R of all, ...)
        before = sum(shape[0] for of_rank in told[: world.rank] for shape, _ in of_rank)
        starts = []
        for one in own:
            starts.append(before)
            before += len(one)
        return Gathered(rows.requires_grad_(), of_rows, places, starts, sum(map(len, told)))

    def minimise(
        self,
        optimizers: GuardedAdam | Sequence[GuardedAdam],
        objective: Objective,
        gathered: Gathered | None = None,
    ) -> None:
        """Backpropagates the losses of every turn, one graph after the other, and steps the optimizers.

        Each loss counts as the mean over its rows, or its objects, on all ranks. In one ``minimise`` a spectral norm
        takes one power step for every way, as for one batch with all rows. gathered: what the losses depend on of other
        turns' rows; gradients reach those, too. A batch norm takes its statistics over the batches that all ranks have
        at the same place, not over those that a rank accumulates.
        """
        optimizers = list(optimizers) if isinstance(optimizers, Sequence) else [optimizers]
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        reported, seen = Losses(), set[int]()
        with summed_by(self.summed):
            for place in self.places:
                graphs = self._graphs(place, objective, optimizers, id(place.way) in seen)
                seen.add(id(place.way))
                for losses in graphs:
                    means = {name: self._mean(name, loss, place) for name, loss in losses.items()}
                    if not all(isinstance(loss, PerObject) and not len(loss.values) for loss in losses.values()):
                        optimizers[0].backward(torch.stack(list(means.values())).sum())
                    for name, mean in means.items():
                        reported[name] = reported[name] + mean.detach() if name in reported else mean.detach()
                    del losses, means  # the graph must not stand beside the next one
        if gathered is not None and gathered.turn_count > 1:
            with power_iteration_held(*(network for one in optimizers for network in one.networks)):
                gathered.backpropagate(self.update.world)
        self.update.history.append(reported)
        self.update._types.append(add_gradients(self.update.world, optimizers, reported))
        step(optimizers)

    def _mean(self, name: str, loss: Tensor | PerObject, place: _Place) -> Tensor:
        """(): what this rank's part of a loss adds to the mean over all ranks."""
        if isinstance(loss, PerObject):
            return _flat(name, loss.values, "object, (P,)").sum() / max(self.object_counts[loss.domain], 1)
        return _flat(name, loss, "row, (R,)").sum() / place.rows

    def show_pools(self, pools: Mapping[str, ImagePool]) -> None:
        """Gives every turn as ``shown`` what a pool makes of its ``aggregate``: by the way's source, fakes old and new.

        All ranks' fakes go through every rank's pool in the order of their rows, so it is the pool of one process.
        """
        for way in self.ways:
            places = [place for place in self.places if place.way is way]
            fakes = [place.turn.aggregate for place in places]
            shown = show_pool(pools[way.source], fakes, self.update.world, self.update.device)
            for place, batch in zip(places, shown, strict=True):
                place.taken = replace(place.turn, shown=batch)

    def _graphs(
        self, place: _Place, objective: Objective, optimizers: Sequence[GuardedAdam], again: bool
    ) -> Iterator[Yielded]:
        """What an objective yields; for small pictures as one graph, because its networks saw them in one call."""
        networks = [network for optimizer in optimizers for network in getattr(optimizer, "networks", ())]
        running, turn = objective(place.way, place.turn), place.turn
        together: dict[str, Tensor | PerObject] | None = {} if few_pixels(turn.source, turn.source) else None
        while True:
            try:
                with cached(), power_iteration_held(*networks) if again else nullcontext():
                    losses = next(running)
            except StopIteration as end:
                if place.batch == 0:
                    for source, pictures in (end.value or {}).items():
                        self.update.show(source, {name: shown.detach() for name, shown in pictures.items()})
                break
            again = True
            if together is None:
                yield losses
            else:
                together |= losses
            del losses
        if together:
            yield together


def _flat(name: str, values: Tensor, what: str) -> Tensor:
    if values.ndim != 1:
        raise ValueError(f"loss {name} must give one value for each {what}, not {tuple(values.shape)}")
    return values


def _generator(seed: int, step: int, row: int, way: int) -> torch.Generator:
    key = f"{seed}/{step}/{row}" + (f"/{way}" if way else "")
    digest = hashlib.blake2b(key.encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest))
