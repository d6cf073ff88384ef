"""Golden traces of the published system: forward passes, sequential translation, losses of every mini-batch, weights.

Reads the traces of InstaGAN in fixtures/parity and, if the environment variable PARITY_DIR names a folder, there.

The judge is our plain code in float64: a trace, and our float32 in every way of computing it, must be as close to it
as rounding brings them (``tests/rounding.py``), for each trace and quantity. From the second mini-batch on that is
further apart: Adam turns the sign of a gradient into a full step, and a few gradients are zero but for rounding.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.method import load_networks
from engine.update import Update
from instagan.inference.published import from_published
from instagan.kernels import accelerate, convolution
from instagan.networks.discriminators import SetDiscriminator
from instagan.networks.generators import SetGenerator
from instagan.structures import calls
from instagan.structures.calls import FEW_PIXELS
from instagan.structures.instances import InstanceBatch
from instagan.structures.sequential import SequentialMiniBatches
from models.insta_gan_model import InstaGanModel
from tests.batches import losses_of_rounds, pair_of
from tests.rounding import DRAWS, FACTOR, IN_TRAINING, ROUNDINGS, allowed, distance, perturb
from tests.traces import FOLDERS, INSTA_GAN, traces_of

TRACES = traces_of(INSTA_GAN)
WAYS = [("A", "B"), ("B", "A")]
HOW: dict[str, tuple[torch.memory_format, dict[str, bool] | None, int]] = {
    "alone": (torch.contiguous_format, {}, 0),
    "together": (torch.contiguous_format, {}, FEW_PIXELS),
    "plain layers": (torch.contiguous_format, None, FEW_PIXELS),
    "channels_last": (torch.channels_last, {}, FEW_PIXELS),
    "recompute": (torch.channels_last, {"recompute": True}, FEW_PIXELS),
    "filtered": (torch.channels_last, {}, FEW_PIXELS),
    "compiled": (torch.channels_last, {"compiled": True}, FEW_PIXELS),
}
"""Memory layout, switches of ``accelerate`` (None: kernels off), and up to how many pixels batches share a call: all of
them give the same numbers.

"filtered" saves multiplications in all residual blocks, as large networks do.
"""
SWAYED = 0.25
"""Largest part of a layer's way that may differ: as if the first gradient of one weight in sixty had the other sign. A
single ReLU whose input is zero but for rounding can do that."""
Made = TypeVar("Made")
EXACT = "exact"
"""The judge: "plain layers" in float64."""
NAIVE = 10
"""The compiler's instance norm adds up pixel after pixel, so that each sum is rounded some hundred times."""
POWER_STEPS = 1e-3
"""What the published discriminator's power step for each instance, not for each pass, makes of an update: a share of
the losses, and of pictures, which reach from -1 to 1."""


class Trace:
    """One recorded run of the published system."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as file:
            self.arrays = {name: file[name] for name in file.files}
        self.meta = ast.literal_eval(str(self.arrays["meta"]))

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])

    def number(self, name: str) -> float:
        return float(self.arrays[name])

    def weights(self, when: str, network: str) -> dict[str, Tensor]:
        """State of one network under our names."""
        return from_published(self.published_weights(when, network), network)

    def published_weights(self, when: str, network: str) -> dict[str, Tensor]:
        """State of one network as the published system names its parameters."""
        prefix = f"{when}/{network}/"
        return {name.removeprefix(prefix): self.tensor(name) for name in self.arrays if name.startswith(prefix)}

    def batch(self, domain: str, like: InstaGanModel) -> InstanceBatch:
        """In the type of the model's weights."""
        arrays = self.tensor(f"input/{domain}"), self.tensor(f"input/{domain}_segs")
        return InstanceBatch.from_masks(*(array.to(next(like.parameters()).dtype) for array in arrays))

    def model(self, how: str = "alone", draw: int = 0, roundings: int = ROUNDINGS) -> InstaGanModel:
        """Our model with the recorded initial weights, perturbed by so many roundings if ``draw`` is not 0.

        how: the switches that it runs with, see ``HOW``, or ``EXACT``.
        """
        meta = self.meta
        model = InstaGanModel(
            {name: SetGenerator(meta["ngf"]) for name in "AB"},
            {name: SetDiscriminator(meta["ndf"]) for name in "AB"},
            ins_max=meta["ins_max"],
            ins_per=meta["ins_per"],
            lambdas={
                "A": meta["lambda_A"],
                "B": meta["lambda_B"],
                "idt": meta["lambda_idt"],
                "ctx": meta["lambda_ctx"],
            },
            pool_size=meta["pool_size"],
            lr=meta["lr"],
            beta1=meta["beta1"],
        )
        load_networks(model, {"networks": {name: self.weights("init", name) for name in model.networks}})
        if how == EXACT:
            model, how = model.double(), "plain layers"
        if draw:
            perturb(model, draw, roundings)
        layout, switches, _ = HOW[how]
        if switches is not None:
            accelerate(model, **switches)
        return model.to(memory_format=layout)


@dataclass
class Training:
    """What our training on a trace gave: losses by (step, mini-batch, name), pictures, final weights."""

    losses: dict[tuple[int, int, str], Tensor] = field(default_factory=dict)
    pictures: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)


@cache
def trace_of(path: Path) -> Trace:
    return Trace(path)


@contextmanager
def switched(how: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "FEW_PIXELS", FEW_PIXELS if how == EXACT else HOW[how][2])
        if how == "filtered":
            patch.setattr(convolution, "MANY_TO_MANY", 1)
            patch.setattr(convolution, "LARGE", 1)
        yield


@cache
def passes_of(path: Path, how: str, draw: int = 0) -> dict[str, Tensor]:
    """Forward passes and sequential translation with the initial weights, under the names that the trace has."""
    trace, done = trace_of(path), {}
    model = trace.model(how, draw).eval()
    with switched(how), torch.no_grad():
        for source, target in WAYS:
            real, most = trace.batch(source, model), trace.meta["ins_max"]
            chosen, judged = real.largest(most), trace.batch(target, model).largest(most)
            out = model.networks[f"G_{source}"](chosen)
            done[f"forward/G_{source}(real_{source})"] = torch.cat([out.image, out.masks], dim=1)
            done[f"forward/D_{source}(real_{target})"] = model.networks[f"D_{source}"](judged)
            fake = model.translate(real, target.lower())
            done |= {f"test/fake_{target}_img": fake.image, f"test/fake_{target}_seg": fake.union()}
            first = next(iter(SequentialMiniBatches(model.networks[f"G_{source}"], chosen, trace.meta["ins_per"])))
            done[f"test/rec_{source}_img"] = model.networks[f"G_{target}"](first.translated).image
    return done


@cache
def training_of(path: Path, how: str, draw: int = 0) -> Training:
    trace, done = trace_of(path), Training()
    model = trace.model(how, draw, IN_TRAINING)
    pair = pair_of(trace.batch("A", model), trace.batch("B", model))
    with switched(how):
        for step in range(trace.meta["steps"]):
            update = Update([pair])
            model.training_step(update)
            for iteration, losses in enumerate(losses_of_rounds(update)):
                done.losses |= {(step, iteration, name): loss for name, loss in losses.items()}
    done.pictures = {f"fake_{target}": update.pictures[source][f"fake_{target}"].image for source, target in WAYS}
    for name, network in model.networks.items():
        done.weights |= {f"{name}/{key}": tensor.clone() for key, tensor in network.state_dict().items()}
    return done


@pytest.fixture(params=TRACES, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture(params=[pytest.param(how, marks=[pytest.mark.slow] if how == "compiled" else []) for how in HOW])
def how(request, path) -> str:
    if request.param == "compiled" and path != TRACES[0]:
        pytest.skip("compiling takes minutes, and the layers of all traces are the same")
    return request.param


@pytest.fixture(params=[how for how in HOW if how != "compiled"])
def how_trained(request) -> str:
    """Compiled training takes minutes to compile here; it is held to eager training in kernels/test_execution.py."""
    return request.param


def judges(made_of: Callable[[Path, str, int], Made], path: Path) -> tuple[Made, list[Made]]:
    """In float64: the exact result, and those of weights that differ by rounding."""
    exact, *perturbed = (made_of(path, EXACT, draw) for draw in range(DRAWS + 1))
    return exact, perturbed


def test_there_are_traces():
    assert len(TRACES) >= 2
    assert all(any(folder.glob("*.npz")) for folder in FOLDERS), f"no .npz in one of {FOLDERS}"


def test_the_largest_instances_are_chosen(path):
    trace = trace_of(path)
    for source, _ in WAYS:
        chosen = trace.batch(source, trace.model()).largest(trace.meta["ins_max"])
        assert torch.equal(chosen.union(), trace.tensor(f"test/real_{source}_seg"))


def limit_of_pass(path: Path, name: str) -> float:
    exact, perturbed = judges(passes_of, path)
    return allowed(exact[name], [other[name] for other in perturbed])


def assert_golden(made: Tensor, path: Path, name: str) -> None:
    """What a pass gave, (1, C, H, W), against a trace; both are rounded."""
    assert distance(made, trace_of(path).tensor(name)) <= 2 * limit_of_pass(path, name), name


@pytest.mark.parametrize("kind", ["forward", "test"])
def test_passes_of_single_networks_and_sequential_translation(path, how, kind):
    trace, ours, exact = trace_of(path), passes_of(path, how), passes_of(path, EXACT)
    for name in [name for name in exact if name.startswith(kind)]:
        limit = limit_of_pass(path, name)
        assert distance(trace.tensor(name), exact[name]) <= limit, f"{name} is not the published system's"
        assert distance(ours[name], exact[name]) <= limit * (NAIVE if how == "compiled" else 1), name


def recorded_losses(trace: Trace) -> dict[tuple[int, int, str], float]:
    found = {}
    for name in trace.arrays:
        parts = name.split("/")
        if len(parts) == 4 and parts[3].startswith("loss_"):
            place = int(parts[1].removeprefix("step")), int(parts[2].removeprefix("iter"))
            found[(*place, parts[3].removeprefix("loss_"))] = trace.number(name)
    return found


def test_losses_of_every_mini_batch(path, how_trained):
    trace = trace_of(path)
    ours = training_of(path, how_trained).losses
    exact, perturbed = judges(training_of, path)
    for place, golden in recorded_losses(trace).items():
        step, iteration, name = place
        if place not in ours:  # a direction that has run out: no generator term, the last D repeated
            assert golden == 0 or (
                name.startswith("D_") and golden == trace.number(f"train/step{step}/iter{iteration - 1}/loss_{name}")
            )
            continue
        limit = allowed(exact.losses[place], [other.losses[place] for other in perturbed])
        if step or iteration:
            limit += POWER_STEPS * abs(golden)
        assert abs(golden - exact.losses[place].item()) <= limit, f"{place} is not the published system's"
        assert distance(ours[place], exact.losses[place]) <= limit, place
    assert set(ours) <= set(recorded_losses(trace))


def test_pictures_after_the_last_step(path, how_trained):
    trace, ours = trace_of(path), training_of(path, how_trained).pictures
    exact, perturbed = judges(training_of, path)
    for name, image in exact.pictures.items():
        limit = POWER_STEPS + allowed(image, [other.pictures[name] for other in perturbed])
        assert distance(trace.tensor(f"train/visual_{name}_img"), image) <= limit, f"{name} is not the published one"
        assert distance(ours[name], image) <= limit, name


def has_no_effect(name: str) -> bool:
    """A bias right before instance normalisation cancels out: its gradient is rounding, its course is chance."""
    last_of = {
        "image_decoder.7.bias",
        "mask_decoder.7.bias",
        "classifier.3.bias",
        "image_features.0.bias",
        "mask_features.0.bias",
    }
    return name.endswith(".bias") and name.split("/")[1] not in last_of


def test_weights_after_the_last_step(path, how_trained):
    """Of each layer, as vectors."""
    trace, ours = trace_of(path), training_of(path, how_trained).weights
    exact, perturbed = judges(training_of, path)
    for network in trace.model().networks:
        start = trace.weights("init", network)
        for key, golden in trace.weights("final", network).items():
            name = f"{network}/{key}"
            if has_no_effect(name) or key.endswith(("_u", "_v")):  # the published norm makes more power steps
                continue
            end = exact.weights[name]
            limit = SWAYED * (end - start[key]).norm().item()
            limit += FACTOR * max((other.weights[name] - end).norm().item() for other in perturbed)
            assert (golden - end).norm().item() <= limit, f"{name} is not the published system's"
            assert (ours[name] - end).norm().item() <= limit, name
