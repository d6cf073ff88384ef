"""Golden traces of the published system: forward passes, sequential translation, losses of every mini-batch, weights.

Reads the traces of InstaGAN in fixtures/parity and, if the environment variable PARITY_DIR names a folder, there.

How closely a trace can be followed: Adam turns the sign of a gradient into a full step, and some gradients are zero but
for rounding (a bias before instance normalisation always; a few weights by chance). From the second mini-batch on two
correct float32 programs therefore differ. How much is measured here, per trace: our own training is repeated from
weights perturbed by one part in ten million, and what that changes is added to the tolerance.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

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
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.sequential import SequentialMiniBatches
from models.insta_gan_model import InstaGanModel
from tests.batches import losses_of_rounds
from tests.traces import FOLDERS, INSTA_GAN, traces_of

TRACES = traces_of(INSTA_GAN)
WAYS = [("A", "B"), ("B", "A")]
PERTURBED_RUNS = 3
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

    def batch(self, domain: str) -> InstanceBatch:
        return InstanceBatch.from_masks(self.tensor(f"input/{domain}"), self.tensor(f"input/{domain}_segs"))

    def model(self, how: str = "alone", perturbation: int = 0) -> InstaGanModel:
        """Our model with the recorded initial weights, perturbed within rounding if ``perturbation`` is not 0.

        how: the switches that it runs with, see ``HOW``.
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
        if perturbation:
            random = torch.Generator().manual_seed(perturbation)
            with torch.no_grad():
                for weight in model.parameters():
                    weight.mul_(1 + 1e-7 * torch.randn(weight.shape, generator=random))
        layout, switches, _ = HOW[how]
        if switches is not None:
            accelerate(model, **switches)
        return model.to(memory_format=layout)


@dataclass
class Training:
    """What our training on a trace gave: losses by (step, mini-batch, name), pictures, final weights."""

    losses: dict[tuple[int, int, str], float] = field(default_factory=dict)
    pictures: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)


@cache
def trace_of(path: Path) -> Trace:
    return Trace(path)


@cache
def training_of(path: Path, how: str, perturbation: int = 0) -> Training:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "FEW_PIXELS", HOW[how][2])
        if how == "filtered":
            patch.setattr(convolution, "MANY_TO_MANY", 1)
            patch.setattr(convolution, "LARGE", 1)
        return played(path, how, perturbation)


def played(path: Path, how: str, perturbation: int) -> Training:
    trace, done = trace_of(path), Training()
    model = trace.model(how, perturbation)
    pair = UnpairedBatch(trace.batch("A"), trace.batch("B"), ("a",), ("b",))
    for step in range(trace.meta["steps"]):
        update = Update([pair])
        model.training_step(update)
        for iteration, losses in enumerate(losses_of_rounds(update)):
            done.losses |= {(step, iteration, name): loss.item() for name, loss in losses.items()}
        done.pictures = {f"fake_{target}": update.pictures[source][f"fake_{target}"].image for source, target in WAYS}
    for name, network in model.networks.items():
        done.weights |= {f"{name}/{key}": tensor.clone() for key, tensor in network.state_dict().items()}
    return done


@pytest.fixture(params=TRACES, ids=lambda path: path.stem)
def path(request) -> Path:
    return request.param


@pytest.fixture(params=[pytest.param(how, marks=[pytest.mark.slow] if how == "compiled" else []) for how in HOW])
def how(request) -> str:
    return request.param


def perturbed(path: Path) -> list[Training]:
    """Runs of the model from weights that differ by rounding."""
    return [training_of(path, "alone", seed) for seed in range(1, PERTURBED_RUNS + 1)]


def close(ours: Tensor, golden: Tensor, how: str = "alone") -> None:
    # 1e-5 is the rounding of a few dozen layers; a trace's own rounding is as large as ours. The compiler's instance
    # norm adds up pixel after pixel
    tolerance = 1e-4 if how == "compiled" else 1e-5
    assert (ours - golden).abs().max().item() <= 2 * tolerance


def test_there_are_traces():
    assert len(TRACES) >= 2
    assert all(any(folder.glob("*.npz")) for folder in FOLDERS), f"no .npz in one of {FOLDERS}"


@torch.no_grad()
def test_generators_and_discriminators_in_one_pass(path, how):
    trace = trace_of(path)
    model = trace.model(how).eval()
    for source, target in WAYS:
        chosen = trace.batch(source).largest(trace.meta["ins_max"])
        out = model.networks[f"G_{source}"](chosen)
        close(torch.cat([out.image, out.masks], dim=1), trace.tensor(f"forward/G_{source}(real_{source})"), how)
        judged = trace.batch(target).largest(trace.meta["ins_max"])
        close(model.networks[f"D_{source}"](judged), trace.tensor(f"forward/D_{source}(real_{target})"), how)


@torch.no_grad()
def test_sequential_translation(path, how):
    trace = trace_of(path)
    model = trace.model(how)
    for source, target in WAYS:
        real = trace.batch(source)
        chosen = real.largest(trace.meta["ins_max"])
        close(chosen.union(), trace.tensor(f"test/real_{source}_seg"), how)
        fake = model.translate(real, target.lower())
        close(fake.image, trace.tensor(f"test/fake_{target}_img"), how)
        close(fake.union(), trace.tensor(f"test/fake_{target}_seg"), how)
        first = next(iter(SequentialMiniBatches(model.networks[f"G_{source}"], chosen, trace.meta["ins_per"])))
        rec = model.networks[f"G_{target}"](first.translated)
        close(rec.image, trace.tensor(f"test/rec_{source}_img"), how)


def recorded_losses(trace: Trace) -> dict[tuple[int, int, str], float]:
    found = {}
    for name in trace.arrays:
        parts = name.split("/")
        if len(parts) == 4 and parts[3].startswith("loss_"):
            place = int(parts[1].removeprefix("step")), int(parts[2].removeprefix("iter"))
            found[(*place, parts[3].removeprefix("loss_"))] = trace.number(name)
    return found


def test_losses_of_every_mini_batch(path, how):
    trace = trace_of(path)
    ours = training_of(path, how).losses
    others = [other.losses for other in perturbed(path)]
    for place, golden in recorded_losses(trace).items():
        step, iteration, name = place
        if place not in ours:  # a direction that has run out: no generator term, the last D repeated
            assert golden == 0 or (
                name.startswith("D_") and golden == trace.number(f"train/step{step}/iter{iteration - 1}/loss_{name}")
            )
            continue
        first = step == 0 and iteration == 0
        spread = max(abs(other[place] - ours[place]) for other in others)
        allowed = 1e-5 * abs(golden) + 1e-7 if first else 1e-3 * abs(golden) + 3 * spread
        assert abs(ours[place] - golden) <= allowed, (place, ours[place], golden, spread)
    assert set(ours) <= set(recorded_losses(trace))


def test_pictures_after_the_last_step(path, how):
    trace = trace_of(path)
    ours = training_of(path, how).pictures
    for name, image in ours.items():
        spread = max((other.pictures[name] - image).abs().max().item() for other in perturbed(path))
        difference = (image - trace.tensor(f"train/visual_{name}_img")).abs().max().item()
        assert difference <= 1e-3 + 3 * spread, (name, difference, spread)


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


def test_weights_after_the_last_step(path, how):
    trace = trace_of(path)
    ours = training_of(path, how).weights
    others = [other.weights for other in perturbed(path)]
    off, moved = 0.0, 0.0
    for network in trace.model().networks:
        start, end = trace.weights("init", network), trace.weights("final", network)
        for key, golden in end.items():
            name = f"{network}/{key}"
            if has_no_effect(name) or key.endswith(("_u", "_v")):  # the published norm makes more power steps
                continue
            spread = max((other[name] - ours[name]).abs().max().item() for other in others)
            assert (ours[name] - golden).abs().max().item() <= 1e-3 + 3 * spread, (name, spread)
            noise = sum((other[name] - ours[name]).norm().item() ** 2 for other in others) / len(others)
            off += max(0.0, (ours[name] - golden).norm().item() ** 2 - 3 * noise)
            moved += (golden - start[key]).norm().item() ** 2
    assert off**0.5 <= 0.2 * moved**0.5  # all weights went where the published system's went
