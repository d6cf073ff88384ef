"""Golden traces of published systems: files of numbers that say by their ``meta`` which system made them, and how.

A trace is an .npz in fixtures/parity or, if the environment variable PARITY_DIR names a folder, in that, too. Each is a
test of its own, called by its file: PARITY_DIR=DIR pytest tests/models -k "parity and NAME". Traces of InstaGAN hold
their weights; the others hold a formula by which weights are drawn, and tell how large every array is. A test reads
what its method has; of MUNIT, DRIT and MGUIT it fails where an array of the trace was compared with nothing.
"""

from __future__ import annotations

import ast
import json
import os
import re
import zlib
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FOLDERS = [Path(__file__).parent / "fixtures" / "parity", *(Path(p) for p in [os.environ.get("PARITY_DIR")] if p)]
INSTA_GAN, CUT, MUNIT, INSTA_FORMER = "InstaGAN", ("CUT", "FastCUT"), "munit", "InstaFormer"
DRIT, MGUIT = "drit", "mguit"
FOLLOWED = (INSTA_GAN, *CUT, MUNIT, INSTA_FORMER, DRIT, MGUIT)
"""Systems whose traces a test reads."""


@cache
def meta_of(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        text = str(file["meta"])
    return json.loads(text) if text.startswith('{"') else ast.literal_eval(text)


def system_of(path: Path) -> str:
    """The published system that made a trace."""
    return meta_of(path).get("system") or meta_of(path).get("cfg", {}).get("system", INSTA_GAN)


def traces_of(*systems: str) -> list[Path]:
    return [path for path in all_traces() if system_of(path) in systems]


@cache
def all_traces() -> tuple[Path, ...]:
    return tuple(sorted(path for folder in FOLDERS for path in folder.glob("*.npz")))


class Trace:
    """A trace whose weights are drawn by a formula."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            self.arrays = {name: file[name] for name in file.files if name != "meta"}
        self.meta = meta_of(path)

    def tensor(self, key: str) -> Tensor:
        return torch.from_numpy(self.arrays[key])

    def names(self, network: str) -> list[str]:
        """Published names of a network's parameters, in the order of every array that has a row for each."""
        return [name for net, name, _ in self.meta["parameters"] if net == network]

    def weights(self, network: str) -> dict[str, Tensor]:
        """A network's initial weights under their published names."""
        shapes = {name: shape for net, name, shape in self.meta["parameters"] if net == network}
        return {name: self._drawn(network, name, shape) for name, shape in shapes.items()}

    def _drawn(self, network: str, name: str, shape: list[int]) -> Tensor:
        gain, bias = self.meta["gains"][network]
        random = np.random.default_rng(zlib.crc32(f"{self.meta['salt']}/{network}/{name}".encode()))
        x = random.standard_normal(shape)
        if len(shape) > 1:
            x = x * gain / np.sqrt(prod(shape[1:]))
        else:  # the weight of a batch norm, or a bias
            x = 1 + 0.1 * x if name.endswith(".weight") else bias * x
        return torch.from_numpy(x.astype(np.float32))

    def has_gradient(self, network: str) -> list[bool]:
        """Of every parameter, whether its gradient is more than the rounding of zero."""
        none = self.meta["exact_zero_gradient"] + self.meta.get("no_gradient", [])
        zero = {name for net, name in none if net == network}
        return [name not in zero for name in self.names(network)]

    def assert_close(self, ours: Tensor, key: str, slack: float = 1.0) -> None:
        """Within what float32 leaves open for this array, relative to its largest value (or weight for weight).

        slack: how many times as much is allowed.
        Where the array is NaN, there is none: of a gradient that nothing gave.
        """
        golden, chosen = self.tensor(key), self._compared(key)
        assert ours.shape == golden.shape, (key, ours.shape, golden.shape)
        assert torch.equal(ours.isnan(), golden.isnan()), f"{key}: something is there on one side only"
        chosen = chosen & ~golden.isnan()
        difference = (ours - golden).abs()[chosen]
        allowed = slack * self._allowed(key, golden)[chosen]
        worst = (difference / allowed)[difference > 0].max().item() if difference.any() else 0.0
        assert worst <= 1, f"{key}: {worst:.3g} times the tolerance"

    def _compared(self, key: str) -> Tensor:
        """Which values of an array mean something."""
        kind, network = key.split("/")[-2:]
        if kind not in ("grad_norm", "grad_sample", "weight_norm", "weight_sample"):
            return torch.ones(self.arrays[key].shape, dtype=torch.bool)
        rows = torch.tensor(self.has_gradient(network)).view(-1, *[1] * (self.arrays[key].ndim - 1))
        if kind == "weight_sample":
            return rows & self.tensor(key.replace("weight_sample", "weight_sample_stable"))
        return rows.expand(self.arrays[key].shape)

    def _allowed(self, key: str, golden: Tensor) -> Tensor:
        """The tolerance of every value."""
        if "/weight_sample/" in key:
            return torch.full_like(golden, 5e-5)
        if "/weight_norm/" in key:
            return 2e-4 * golden.abs()
        noise, scale = self.meta["float32_noise"][key]
        return torch.full_like(golden, tolerance(key) * scale)


def tolerance(key: str) -> float:
    """The share of an array's largest value by which correct float32 programs differ, as the traces' makers found."""
    first = "train/" not in key or "step1/" in key
    if "grad_total" in key:
        return 1e-4 if first else 1e-3
    if "grad_" in key:
        return 1e-3 if first else 1e-2
    if re.search("/loss_|/nce_per_tap|/D_running_", key):
        return 1e-5 if first else 1e-4
    return 1e-3 if key.startswith("final/") or not first else 2e-5


def statistics(values: Tensor) -> Tensor:
    """(18,): mean, root mean square and 16 values of a tensor, as the traces tell of large arrays."""
    flat = values.detach().reshape(-1)
    mean, root = flat.double().mean(), flat.double().square().mean().sqrt()
    return torch.cat([torch.stack([mean, root]).float(), sampled(flat, 16)])


def sampled(values: Tensor, count: int) -> Tensor:
    """(count,): values at flat positions from the first to the last."""
    flat = values.detach().reshape(-1)
    return flat[torch.arange(count) * (len(flat) - 1) // (count - 1)]
