"""What the machine can do at best, in the run that it is compared with, and how much arithmetic a step is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from engine.device import wait_for
from instagan.kernels import convolution

CHANNELS, SIDE = 256, 50
"""The convolution that most of a step at paper size consists of: 3x3, 256 channels, 50 x 50."""

TRIES = 5
SECONDS = 0.1
"""How long each try of a ceiling takes at least."""


@dataclass(frozen=True)
class Ceiling:
    """FLOP/s of the convolution, forward alone and with backward, and on CUDA of a matrix product; each the best."""

    forward: float
    both: float
    matmul: float | None

    def figures(self) -> dict[str, float | None]:
        return {"conv_forward": self.forward, "conv_forward_backward": self.both, "matmul": self.matmul}

    def __str__(self) -> str:
        shown = f"convolution {_tera(self.forward)} forward, {_tera(self.both)} forward + backward"
        return shown + (f"; matrix product {_tera(self.matmul)}" if self.matmul else "") + " TFLOP/s"


def ceiling(device: torch.device, dtype: torch.dtype) -> Ceiling:
    """The best over batch sizes, both layouts and a few tries."""
    cuda = device.type == "cuda"
    forward = both = 0.0
    for rows in (4, 32) if cuda else (1, 4):
        for layout in (torch.contiguous_format, torch.channels_last):
            x, weight = (
                torch.randn(shape, device=device, dtype=dtype).to(memory_format=layout).requires_grad_()
                for shape in ((rows, CHANNELS, SIDE, SIDE), (CHANNELS, CHANNELS, 3, 3))
            )
            work = 2 * rows * SIDE**2 * CHANNELS**2 * 9
            forward = max(forward, _fastest(_forward(x, weight), work, device))
            both = max(both, _fastest(_forward_backward(x, weight), 3 * work, device))
    return Ceiling(forward, both, _matmul(device, dtype) if cuda else None)


def _forward(x: Tensor, weight: Tensor) -> Callable[[], Tensor]:
    @torch.no_grad()
    def run() -> Tensor:
        return functional.conv2d(x, weight, padding=1)

    return run


def _forward_backward(x: Tensor, weight: Tensor) -> Callable[[], object]:
    slope = torch.ones_like(_forward(x, weight)())
    return lambda: torch.autograd.grad(functional.conv2d(x, weight, padding=1), (x, weight), slope)


def _matmul(device: torch.device, dtype: torch.dtype, side: int = 8192) -> float:
    a, b = (torch.randn((side, side), device=device, dtype=dtype) for _ in range(2))
    return _fastest(lambda: a @ b, 2 * side**3, device)


def _fastest(run: Callable[[], object], work: int, device: torch.device) -> float:
    """Best FLOP/s of TRIES, each long enough to be timed."""
    run()
    calls, best = 1, 0.0
    for _ in range(TRIES):
        while True:
            wait_for(device)
            started = time.perf_counter()
            for _ in range(calls):
                run()
            wait_for(device)
            taken = time.perf_counter() - started
            if taken >= SECONDS:
                break
            calls *= 2
        best = max(best, calls * work / taken)
    return best


def counted(run: Callable[[], object]) -> int:
    """Runs it once; FLOPs of its convolutions and matrix products, backward included.

    Convolutions are computed directly for this, so that multiplications that are saved count.
    """
    large, convolution.LARGE = convolution.LARGE, sys.maxsize
    try:
        with FlopCounterMode(display=False) as counter:
            run()
    finally:
        convolution.LARGE = large
    return int(counter.get_total_flops())


def _tera(value: float) -> str:
    return f"{value / 1e12:.3g}"
