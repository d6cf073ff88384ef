"""CUT and FastCUT as published: layer by layer, features, losses, gradients and weights of golden traces."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from instagan.losses.patch_nce import at_positions, patch_nce
from instagan.networks.anti_aliased import AntiAliasedGenerator, AntiAliasedPatchDiscriminator
from instagan.networks.projection import ProjectionHeads
from instagan.structures.instances import InstanceBatch
from tests.traces import CUT, Trace, statistics, traces_of

TRACES = traces_of(*CUT)
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


def pictures(trace: Trace, domain: str) -> InstanceBatch:
    return InstanceBatch.from_images(trace.tensor(f"input/{domain}"))


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
