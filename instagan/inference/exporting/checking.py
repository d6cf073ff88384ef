"""Whether another runtime gives what torch gives, and how long both take."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from instagan.errors import InputError
from instagan.inference.exporting.mini_batch import MiniBatch, all_present
from instagan.structures.instances import INSIDE, OUTSIDE, InstanceBatch

Run = Callable[..., "tuple[Tensor, ...]"]
"""The exported function: image, and masks or a style where it takes them -> translated, and translated masks."""

TOLERANCE = 1e-4
COUNTS = (1, 2, 5)
SIZES = ((32, 32), (48, 72), (100, 64))
"""Height and width; all combinations with ``COUNTS`` are checked."""
REPEATS, SECONDS = 15, 6.0
"""Most runs, and most time, that measuring the latency takes."""


@dataclass(frozen=True)
class Latency:
    """Medians in milliseconds for one mini-batch on the CPU, both with ``threads`` threads."""

    milliseconds: float
    in_torch: float
    size: tuple[int, int]
    instances: int
    threads: int

    def __str__(self) -> str:
        height, width = self.size
        what = f"{width}x{height}" + (f" with {self.instances} instances" if self.instances else "")
        return f"CPU {self.milliseconds:.1f} ms, torch {self.in_torch:.1f} ms ({what}, threads: {self.threads})"


def largest_difference(run: Run, function: MiniBatch, generator: nn.Module, runtime: str) -> float:
    """Between ``run`` and the generator itself, on random inputs. Raises ``InputError`` above ``TOLERANCE``."""
    random = torch.Generator().manual_seed(0)
    worst = 0.0
    for height, width in SIZES:
        for count in COUNTS:
            inputs = random_inputs(height, width, count, random, function.channels)
            taken, call = _calls(function, generator, inputs, random)
            with torch.inference_mode():
                made = call()
            wanted = (made.image, made.masks[0])[: len(function.outputs)]
            given = run(*taken)
            difference = max(
                float((one - other).abs().max()) if one.shape == other.shape else float("inf")
                for one, other in zip(given, wanted, strict=True)
            )
            if not difference <= TOLERANCE:
                raise InputError(
                    f"{runtime} differs from torch by {difference:.2g} for {count} instances at {width}x{height}, more "
                    f"than {TOLERANCE:g}, and nothing was written; install other versions of torch and {runtime}"
                )
            worst = max(worst, difference)
    return worst


def latency(run: Run, function: MiniBatch, generator: nn.Module, size: tuple[int, int], instances: int) -> Latency:
    """Both in turns, so that whatever else the machine does meets both. size: height and width."""
    random = torch.Generator().manual_seed(0)
    taken, in_torch = _calls(function, generator, random_inputs(*size, instances, random, function.channels), random)
    with torch.inference_mode():
        times: tuple[list[float], list[float]] = ([], [])
        run(*taken), in_torch()
        start = time.perf_counter()
        while len(times[0]) < REPEATS and (not times[0] or time.perf_counter() - start < SECONDS):
            for found, call in zip(times, (lambda: run(*taken), in_torch), strict=True):
                began = time.perf_counter()
                call()
                found.append((time.perf_counter() - began) * 1000)
    shown = instances if "masks" in function.inputs else 0
    return Latency(statistics.median(times[0]), statistics.median(times[1]), size, shown, torch.get_num_threads())


def _calls(
    function: MiniBatch, generator: nn.Module, inputs: tuple[Tensor, Tensor], random: torch.Generator
) -> tuple[list[Tensor], Callable[[], InstanceBatch]]:
    """What the function takes of image and masks, with a random style where it takes one, and the generator on it."""
    there = {"image": inputs[0], "masks": inputs[1]}
    batch = all_present(*inputs) if "masks" in function.inputs else InstanceBatch.from_images(inputs[0])
    if "style" not in function.inputs:
        return [there[name] for name in function.inputs], lambda: generator(batch)
    there["style"] = torch.randn(1, function.style_size, generator=random)
    return [there[name] for name in function.inputs], lambda: generator(batch, style=there["style"])


def random_inputs(
    height: int, width: int, count: int, random: torch.Generator, channels: int = 3
) -> tuple[Tensor, Tensor]:
    """A picture (1, C, H, W) of noise and masks (count, H, W) of rectangles."""
    image = torch.rand(1, channels, height, width, generator=random) * 2 - 1
    masks = torch.full((count, height, width), OUTSIDE)
    for mask in masks:
        top, left = (int(torch.randint(side // 2, (), generator=random)) for side in (height, width))
        high, wide = (int(torch.randint(2, side // 2, (), generator=random)) for side in (height, width))
        mask[top : top + high, left : left + wide] = INSIDE
    return image, masks
