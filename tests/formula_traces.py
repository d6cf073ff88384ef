"""Golden traces of MUNIT and its relatives, whose weights are drawn by a formula: reading and comparing them."""

from __future__ import annotations

import zlib
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.traces import meta_of

CYCLED = ("x_aba", "x_bab", "cyc_A", "cyc_B")
"""Pictures after a cycle, in which rounding has grown."""


class FormulaTrace:
    """``compared`` holds the names of the arrays that were compared.

    A trace is of float32, and tells how far each array is from the same program in float64. dtype: of the inputs; in
    float64 ours must be as far, and no further. gaps: in float32 each array may differ by so many times that, where
    its usual tolerance is less. slack: all tolerances are so many times as wide, for kernels, whose rounding is that of
    minimal filtering and of the instructions that a processor has: several times that of plain layers.
    """

    def __init__(self, path: Path, dtype: torch.dtype = torch.float32, gaps: float = 0, slack: float = 1) -> None:
        self.dtype, self.gaps, self.slack = dtype, gaps, slack
        with np.load(path) as file:
            self.arrays = {name: file[name] for name in file.files if name != "meta"}
        self.meta = meta_of(path)
        self.compared: set[str] = set()

    def names(self, *networks: str) -> list[tuple[str, str]]:
        """(network, name) of all parameters of these networks, in the order of arrays that have a row for each."""
        return [(network, name) for network, name, _ in self.meta["weights"] if network in networks]

    @cached_property
    def weights(self) -> dict[tuple[str, str], Tensor]:
        """(network, published name) -> initial weight."""
        return {(network, name): self._drawn(network, name, shape) for network, name, shape in self.meta["weights"]}

    def _drawn(self, network: str, name: str, shape: list[int]) -> Tensor:
        seed = zlib.crc32(f"{self.meta['seed_tag']}/{network}.{name}".encode())
        n, kind = np.random.default_rng(seed).standard_normal(shape), name.rpartition(".")[2]
        if kind == "gamma" or (kind == "weight" and len(shape) == 3):
            n = 1 + 0.1 * n
        elif kind in ("bias", "beta"):
            n = 0.05 * n
        else:
            n = n * 1.4 / np.sqrt(prod(shape[1:]))
        return torch.from_numpy(n.astype(np.float32))

    def given(self, key: str) -> Tensor:
        """An input: pictures in [-1, 1), noise, the rest as stored."""
        array = torch.from_numpy(self.arrays[f"in/{key}"])
        if array.dtype in (torch.uint8, torch.int8):
            return array.to(self.dtype) / 128 - 1 if array.dtype == torch.uint8 else array.to(self.dtype) / 8
        return array.to(self.dtype)

    def assert_close(self, ours: Tensor, key: str) -> None:
        """An array, as far as it is stored, and what is told of all of it."""
        ours = ours.detach().double()
        stride = self.meta["stride"].get(key, 1)
        self._compare(ours[..., ::stride, ::stride] if ours.ndim > 1 else ours, key)
        if f"stat/{key}" in self.arrays:
            random = np.random.default_rng(zlib.crc32(b"proj/" + key.encode()))
            projected = (ours * torch.from_numpy(random.standard_normal(tuple(ours.shape)))).sum() / ours.numel() ** 0.5
            self._compare(torch.stack([ours.mean(), ours.square().mean().sqrt(), projected]), f"stat/{key}")

    def _compare(self, ours: Tensor, key: str) -> None:
        golden = torch.from_numpy(self.arrays[key]).double()
        assert ours.numel() == golden.numel(), (key, ours.shape, golden.shape)
        allowed = self._allowed(key, golden)
        if (gap := self.meta["float64_gap"].get(key)) is not None:
            exact = 1.3 * gap + 1e-6 * float(golden.abs().max())
            allowed = torch.full_like(golden, exact) if self.dtype == torch.float64 else allowed.clamp(self.gaps * gap)
        worst = ((ours.reshape(golden.shape) - golden).abs() / (self.slack * allowed)).max().item()
        assert worst <= 1, f"{key}: {worst:.3g} times the tolerance"
        self.compared.add(key)

    def _by_chance(self, start: str) -> Tensor:
        """How far each parameter may move either way, where its gradient is rounding: a bias in front of a norm."""
        gradients, moves = (torch.from_numpy(self.arrays[f"{start}/{of}_per_param"]) for of in ("gradnorm", "movenorm"))
        return torch.where(gradients < 1e-4 * gradients.max(), 2 * moves, 0)

    def _allowed(self, key: str, golden: Tensor) -> Tensor:
        """Tolerance of every value: by how much float32 programs that are right were seen to differ."""
        largest = golden.abs().max()
        of_judges = "/D/" in key or key.startswith("content")
        again = key.removeprefix("stat/").startswith("rerun/")  # behind a step of Adam
        if again and key.startswith(("rerun/step2/", "stat/rerun/step2/")):
            return (1e-1 if "norm" in key else 1e-3) * golden.abs() + 1e-12
        if key.startswith("after/") or key.startswith("stat/after/"):
            return torch.full_like(golden, 5e-2)
        if key.endswith("sample_grad_before_after"):  # columns: gradient, weight before, weight after
            gradient = (1e-4 if of_judges else 1e-2) * golden[:, 0].abs().max()
            before = gradient.new_tensor(2e-6 if again or "disContent" in key else 1e-7)
            return torch.stack([gradient, before, gradient.new_tensor(2e-6)]).expand_as(golden)
        if "norm_per_param" in key:
            if "movenorm" in key:
                return 2e-2 * golden.abs() + self._by_chance(key.rpartition("/")[0])
            if "weightnorm" in key:
                return 1e-4 * golden.abs() + self._by_chance(key.rpartition("/")[0])
            return torch.full_like(golden, (1e-4 if of_judges else 1e-2) * float(largest))
        if "lossgrad" in key:
            return torch.full_like(golden, (1e-2 if again else 3e-3) * max(float(largest), 1e-6))
        if key.startswith("step2/"):
            return (1e-1 if "gradnorm" in key else 1e-3) * golden.abs() + 1e-12
        if key.endswith(("gradnorm", "norm_before_clip")):
            return (1e-4 if of_judges else 1e-2 if again else 3e-3) * golden.abs()
        if again:
            return torch.full_like(golden, 1e-3 * float(largest))
        if key.rpartition("/")[2] in CYCLED:
            return torch.full_like(golden, 5e-4)
        gap = self.meta["float64_gap"].get(key, 0.0)
        return torch.full_like(golden, max(1e-5 * float(largest), 20 * gap, 1e-12))
