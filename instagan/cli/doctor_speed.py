"""How long a training step of the published task takes here, measured on one half of a step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from instagan.errors import InputError
from instagan.kernels import accelerate
from instagan.kernels.allocator import keep_memory
from instagan.networks.discriminators import SetDiscriminator
from instagan.networks.generators import SetGenerator
from instagan.structures.instances import InstanceBatch

SIDE, SMALL_SIDE = 200, 48
"""Pixels of the square images of the published task, and of those that are tried first."""

TURNS, DIRECTIONS = 2, 2
"""A step translates 4 instances 2 at a time, from A to B and from B to A."""


@dataclass(frozen=True)
class Speed:
    """Seconds of a training step on one image pair, and of translating one image. side: of the images measured."""

    step: float
    translation: float
    side: int


def measure(device: torch.device, seconds: float = 20.0, width: int = 64) -> Speed:
    """Runs the networks with random weights as a step does for one direction and 2 instances, for about ``seconds``.

    width: filters of the first layers (ngf, ndf). Small images come first: where they are so slow that images of full
    size would take longer than ``seconds``, theirs is the measure. A step's optimizers, which take a hundredth of it,
    are left out. Raises ``InputError`` where memory does not suffice.
    """
    if device.type == "cpu":
        keep_memory()
    random = torch.random.get_rng_state()
    try:
        networks = SetGenerator(width), SetGenerator(width), SetDiscriminator(width)
        for network in networks:
            network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            accelerate(network)
        forward, back, judge = networks
        side, small = SMALL_SIDE, _images(SMALL_SIDE).to(device)
        turn = _timed(device, seconds * 0.2, lambda: _turn(forward, back, judge, small))
        scale = (SIDE / SMALL_SIDE) ** 2
        if turn * scale < seconds * 0.3:  # at least two of them fit into what is left
            side, scale = SIDE, 1.0
        x = _images(side).to(device)
        if side == SIDE:
            turn = _timed(device, seconds * 0.6, lambda: _turn(forward, back, judge, x))
        with torch.inference_mode():
            translation = _timed(device, seconds * 0.2, lambda: forward(x))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise InputError(f"the published task does not fit into the memory of {device}; free some of it") from None
    finally:
        torch.random.set_rng_state(random)
    return Speed(turn * scale * TURNS * DIRECTIONS, translation * scale * TURNS, side)


def _images(side: int) -> InstanceBatch:
    """One image with two instances."""
    masks = torch.full((1, 2, side, side), -1.0)
    masks[:, 0, : side // 2], masks[:, 1, side // 2 :] = 1.0, 1.0
    return InstanceBatch.from_masks(torch.rand(1, 3, side, side) * 2 - 1, masks)


def _turn(forward: SetGenerator, back: SetGenerator, judge: SetDiscriminator, x: InstanceBatch) -> None:
    """What G and D compute for a mini-batch of one direction: translated, reconstructed, kept as it is, judged."""
    judge.requires_grad_(False)
    y = forward(x)
    (judge(y).square().mean() + _apart(back(y), x)).backward()
    _apart(back(x), x).backward()
    judge.requires_grad_(True)
    (judge(x).square().mean() + judge(y.detach()).square().mean()).backward()


def _apart(made: InstanceBatch, wanted: InstanceBatch) -> Tensor:
    return (made.image - wanted.image).abs().mean() + (made.masks - wanted.masks).abs().mean()


def _timed(device: torch.device, seconds: float, work: Callable[[], object]) -> float:
    """Median seconds of one call. The first one, which also prepares, counts only where there is time for no other."""
    durations: list[float] = []
    until = time.perf_counter() + seconds
    while not durations or time.perf_counter() + durations[-1] < until:
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        durations.append(time.perf_counter() - began)
    return median(durations[1:] or durations)
