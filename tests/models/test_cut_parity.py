"""CUT and FastCUT as published: layer by layer, features, losses, gradients and weights of golden traces."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.update import Update
from instagan.kernels import accelerate
from instagan.losses.patch_nce import at_positions, patch_nce
from instagan.networks.anti_aliased import AntiAliasedGenerator, AntiAliasedPatchDiscriminator
from instagan.networks.projection import ProjectionHeads
from instagan.structures.instances import InstanceBatch
from models import cut_model
from models.cut_model import CutModel, Objective
from tests.batches import pair_of
from tests.traces import CUT, Trace, sampled, statistics, traces_of

TRACES = traces_of(*CUT)
HOW = {
    "plain layers": (torch.float32, torch.contiguous_format, False),
    "plain layers, channels_last": (torch.float32, torch.channels_last, False),
    "kernels": (torch.float32, torch.contiguous_format, True),
    "kernels, channels_last": (torch.float32, torch.channels_last, True),
    "float64": (torch.float64, torch.contiguous_format, False),
}
"""Type, memory layout, and whether the kernels are on."""
LOSSES = {"D": "D", "G": "G_GAN", "NCE": "NCE", "NCE_Y": "NCE_Y"}
"""Our names of losses -> published ones."""
DECODER = 21
"""Number of the generator's first layer that is not in its encoder."""


@cache
def trace_of(path: Path) -> Trace:
    return Trace(path)


@pytest.fixture(params=TRACES, ids=lambda path: path.stem)
def trace(request) -> Trace:
    return trace_of(request.param)


def our_name(network: str, published: str) -> str:
    """Of a parameter: model.12.conv_block.1.weight is our encoder.12.layers.1.weight."""
    if network == "F":
        return re.sub(r"mlp_(\d+)", r"\1", published)
    place, rest = re.fullmatch(r"model\.(\d+)\.(.*)", published).groups()
    if network == "D":
        return f"layers.{place}.{rest}"
    half = f"encoder.{place}" if int(place) < DECODER else f"decoder.{int(place) - DECODER}"
    return f"{half}.{rest.replace('conv_block', 'layers')}"


def load(network: nn.Module, trace: Trace, name: str) -> nn.Module:
    network.load_state_dict({our_name(name, key): weight for key, weight in trace.weights(name).items()})
    return network


def taps_of(trace: Trace) -> list[int]:
    return [int(tap) for tap in trace.meta["options"]["nce_layers"].split(",")]


def generator_of(trace: Trace) -> AntiAliasedGenerator:
    return load(AntiAliasedGenerator(trace.meta["ngf"]), trace, "G")


def discriminator_of(trace: Trace) -> AntiAliasedPatchDiscriminator:
    return load(AntiAliasedPatchDiscriminator(trace.meta["ndf"]), trace, "D")


def heads_of(trace: Trace) -> ProjectionHeads:
    channels = generator_of(trace).channels(taps_of(trace))
    return load(ProjectionHeads(channels, trace.meta["options"]["netF_nc"]), trace, "F")


def pictures(trace: Trace, domain: str, dtype: torch.dtype = torch.float32) -> InstanceBatch:
    return InstanceBatch.from_images(trace.tensor(f"input/{domain}").to(dtype))


def layer_by_layer(layers: list[nn.Module], x: Tensor) -> tuple[Tensor, list[list[int]]]:
    """Statistics and shape of what every layer gives, taken before the next one may change it in place."""
    found, shapes = [], []
    for layer in layers:
        x = layer(x)
        found.append(statistics(x))
        shapes.append(list(x.shape))
    return torch.stack(found), shapes


def test_there_are_traces():
    assert set(CUT) <= {trace_of(path).meta["system"] for path in TRACES}


@torch.no_grad()
def test_every_layer_of_the_generator(trace):
    G = generator_of(trace)
    for domain in "AB":
        found, shapes = layer_by_layer([*G.encoder, *G.decoder], pictures(trace, domain).image)
        assert shapes == trace.meta["G_layer_shapes"]
        trace.assert_close(found, f"forward/G_layers_{domain}")
        trace.assert_close(G(pictures(trace, domain)).image, f"forward/G_{domain}")


@torch.no_grad()
def test_every_layer_of_the_discriminator(trace):
    D, fake = discriminator_of(trace), generator_of(trace)(pictures(trace, "A"))
    for name, judged in (("B", pictures(trace, "B")), ("fake", fake)):
        found, shapes = layer_by_layer(list(D.layers), judged.image)
        assert shapes == trace.meta["D_layer_shapes"]
        trace.assert_close(found, f"forward/D_layers_{name}")
        trace.assert_close(D(judged), f"forward/D_{name}")


@torch.no_grad()
def test_features_of_every_tap_and_their_loss(trace):
    G, heads, taps = generator_of(trace), heads_of(trace), taps_of(trace)
    source = pictures(trace, "A")
    projected = {}
    for name, x in (("A", source), ("fake", G(source))):
        maps = dict(zip(taps, G.features(x, taps), strict=True))
        gathered = {tap: at_positions(maps[tap], trace.tensor(f"input/step1/ids_A/{tap}").long()) for tap in taps}
        projected[name] = dict(zip(taps, heads([gathered[tap] for tap in taps]), strict=True))
        for place, tap in enumerate(taps):
            trace.assert_close(statistics(maps[tap]), f"forward/tap_stats_{name}/{tap}")
            if f"forward/tap_{name}/{tap}" in trace.arrays:
                trace.assert_close(maps[tap], f"forward/tap_{name}/{tap}")
            trace.assert_close(gathered[tap].flatten(0, 1), f"forward/gathered_{name}/{tap}")
            of_all = projected[name][tap].flatten(0, 1)  # (B S, 256)
            trace.assert_close(of_all[:8], f"forward/projected_{name}/{tap}")
            trace.assert_close(statistics(of_all), f"forward/projected_stats_{name}/{tap}")
            if name == "A":
                trace.assert_close(heads[place](gathered[tap].flatten(0, 1)[:8]), f"forward/projected_raw_A/{tap}")
    for tap in taps:
        query, key = projected["fake"][tap], projected["A"][tap]
        trace.assert_close((query * key).sum(-1).flatten(), f"forward/nce_positive/{tap}")
        trace.assert_close(query[-1, :3] @ key[-1].T, f"forward/nce_similarity_rows/{tap}")
        losses = patch_nce(query, key, trace.meta["options"]["nce_T"])
        trace.assert_close(losses.flatten(), f"forward/nce_loss_vector/{tap}")


def model_of(trace: Trace) -> CutModel:
    options = trace.meta["options"]
    weights = [options[name] for name in ("lambda_GAN", "lambda_NCE", "nce_idt", "flip_equivariance")]
    objective = Objective(*weights, tuple(taps_of(trace)), options["num_patches"], options["nce_T"])
    networks = generator_of(trace), discriminator_of(trace), heads_of(trace)
    return CutModel(*networks, objective, lr=options["lr"], beta1=options["beta1"])


class Recorded:
    """Plays what the published system drew by chance, in the order in which it is asked for."""

    def __init__(self, trace: Trace, step: int) -> None:
        self.mirrored = bool(trace.arrays.get(f"input/step{step}/flip", 0))
        keys = [f"input/step{step}/ids_{domain}/{tap}" for domain in "AB" for tap in taps_of(trace)]
        self.positions = iter([trace.tensor(key).long() for key in keys if key in trace.arrays])

    def draw_mirrored(self, share: float, generators: list[torch.Generator]) -> Tensor:
        return torch.full((len(generators),), self.mirrored)

    def draw_positions(self, count: int, features: Tensor, generators: list[torch.Generator]) -> Tensor:
        positions = next(self.positions)
        assert len(positions) == min(count, features[0, 0].numel())
        return positions.expand(len(generators), -1)


@pytest.mark.parametrize("how", HOW)
def test_every_step_of_training(trace, monkeypatch, how):
    """Losses, gradients and weights of every step, then the networks as they are at the end.

    float32 is held to the first step: of the weights that follow, Adam moves those whose gradients are nearly 0 by
    chance, and where a ReLU turns on that, what comes later differs by more than rounding.
    """
    exact = how == "float64"
    dtype, layout, kernels = HOW[how]
    model = model_of(trace).to(dtype, memory_format=layout)
    if kernels:
        accelerate(model.networks)
    gradients = gradients_before_steps(model, trace)
    a, b = (pictures(trace, domain, dtype) for domain in "AB")
    for step in range(1, trace.meta["steps"] + 1 if exact else 2):
        recorded = Recorded(trace, step)
        for name in ("draw_mirrored", "draw_positions"):
            monkeypatch.setattr(cut_model, name, getattr(recorded, name))
        update = Update([pair_of(a, b)])
        model.training_step(update)
        assert not list(recorded.positions)  # all that was drawn there was drawn here
        compare_losses(update.losses(), trace, step)
        for network in "GDF":
            compare_gradients(gradients[network], trace, step, network)
            compare_weights(parameters(model, trace, network), trace, step, network)
    if exact:
        with torch.no_grad():
            trace.assert_close(model.G(a).image, "final/G_A")
            trace.assert_close(model.D(b), "final/D_B")


def parameters(model: CutModel, trace: Trace, network: str) -> list[Tensor]:
    """In the order of the trace."""
    ours = dict(getattr(model, network).named_parameters())
    return [ours[our_name(network, name)] for name in trace.names(network)]


def gradients_before_steps(model: CutModel, trace: Trace) -> dict[str, list[Tensor]]:
    """By network, those with which its optimizer made its last step; filled as the model trains."""
    found: dict[str, list[Tensor]] = {}
    for network, optimizer in model.optimizers().items():

        def keep(*_, network: str = network) -> None:
            found[network] = [weight.grad.clone() for weight in parameters(model, trace, network)]

        optimizer.register_step_pre_hook(keep)
    return found


def compare_losses(losses: dict[str, Tensor], trace: Trace, step: int) -> None:
    """Ours are what is added up; the published PatchNCE losses are reported before their mean is taken."""
    halves = 2 if trace.meta["options"]["nce_idt"] else 1
    for name, loss in losses.items():
        published = LOSSES[name]
        trace.assert_close(loss * (halves if "NCE" in name else 1), f"train/step{step}/loss_{published}")
    total = torch.stack([loss for name, loss in losses.items() if name != "D"]).sum()
    trace.assert_close(total, f"train/step{step}/loss_G")
    assert ("NCE_Y" in losses) == trace.meta["options"]["nce_idt"]


def compare_gradients(gradients: list[Tensor], trace: Trace, step: int, network: str) -> None:
    norms = torch.stack([gradient.norm() for gradient in gradients])
    trace.assert_close(norms, f"train/step{step}/grad_norm/{network}")
    trace.assert_close(norms.norm(), f"train/step{step}/grad_total/{network}")
    of_each = torch.stack([sampled(gradient, 8) for gradient in gradients])
    trace.assert_close(of_each, f"train/step{step}/grad_sample/{network}")


def compare_weights(weights: list[Tensor], trace: Trace, step: int, network: str) -> None:
    norms = torch.stack([weight.detach().norm() for weight in weights])
    trace.assert_close(norms, f"train/step{step}/weight_norm/{network}")
    of_each = torch.stack([sampled(weight, 8) for weight in weights])
    trace.assert_close(of_each, f"train/step{step}/weight_sample/{network}")
