"""The switch changes what a network costs: not its parameters, not its results, and not which hooks are called."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from instagan.kernels import KERNELS, accelerate, restore
from instagan.kernels.stack import Stack
from instagan.networks.anti_aliased import AntiAliasedGenerator, AntiAliasedPatchDiscriminator
from instagan.networks.blocks import decoder, encoder, initialise
from instagan.networks.discriminators import PatchDiscriminator, SetDiscriminator
from instagan.networks.generators import ResnetGenerator, SetGenerator
from instagan.networks.taps import features_at
from tests.batches import random_batch

LAYOUTS = [torch.contiguous_format, torch.channels_last]
KINDS = [
    SetGenerator, ResnetGenerator, AntiAliasedGenerator, SetDiscriminator, PatchDiscriminator,
    AntiAliasedPatchDiscriminator,
]  # fmt: skip
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
LONG = [7, 2]
"""Instances of two images, more than a discriminator looks at at a time."""


def network_of(kind, layout=torch.contiguous_format):
    torch.manual_seed(0)
    network = kind(4)
    initialise(network, "xavier", 1.0)
    return network.eval().to(memory_format=layout)


def outputs(network, batch):
    """What comes out, and the gradients of all weights; those of biases before a normalisation are rounding."""
    network.zero_grad(set_to_none=True)
    made = network(batch)
    made = [made] if isinstance(made, torch.Tensor) else [made.image, made.masks]
    sum(tensor.square().mean() for tensor in made if tensor.requires_grad).backward()
    weights = [weight for weight in network.parameters() if weight.ndim > 1]
    return [tensor.detach() for tensor in made], torch.cat([weight.grad.flatten() for weight in weights])


def assert_alike(found, expected):
    for one, other in zip(found[0], expected[0], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-4)
    assert (found[1] - expected[1]).norm() < 2e-2 * expected[1].norm()  # ReLUs turn on rounding


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_kernels_change_no_result_and_are_undone(kind, layout):
    network, batch = network_of(kind, layout), random_batch(LONG)
    names, classes = list(network.state_dict()), [type(module) for module in network.modules()]
    plain = outputs(network, batch)
    accelerate(network)
    assert list(network.state_dict()) == names
    assert [type(module) for module in network.modules()] != classes
    assert_alike(outputs(network, batch), plain)
    assert_alike(outputs(deepcopy(network), batch), plain)
    accelerate(network, recompute=True)
    assert_alike(outputs(network, batch), plain)
    restore(network)
    assert [type(module) for module in network.modules()] == classes
    assert not any({"kernels", "execution", "plain_class"} & module.__dict__.keys() for module in network.modules())
    again = outputs(network, batch)
    assert torch.equal(again[0][0], plain[0][0]) and torch.equal(again[1], plain[1])


@pytest.mark.parametrize("name", KERNELS)
def test_each_kernel_can_be_left_out(name):
    batch = random_batch(LONG)
    for kind in (SetGenerator, SetDiscriminator):
        network = network_of(kind, torch.channels_last)
        plain = outputs(network, batch)
        accelerate(network, kernels=KERNELS.keys() - {name})
        assert_alike(outputs(network, batch), plain)


def test_without_any_kernel_a_network_computes_what_plain_layers_do():
    batch = random_batch(LONG)
    for kind in KINDS:
        network = network_of(kind)
        plain = outputs(network, batch)
        accelerate(network, kernels=())
        found = outputs(network, batch)
        assert torch.equal(found[0][0], plain[0][0]) and torch.equal(found[1], plain[1])


def test_an_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match="no kernels .'warp'.; there are .*columns"):
        accelerate(SetGenerator(2, blocks=1), kernels=("columns", "warp"))


class Demodulated(nn.Conv2d):
    """A layer of somebody else's, which does more than a convolution."""

    def forward(self, input):
        return super().forward(input) * 2


def test_layers_that_the_kernels_do_not_know_are_left_alone():
    unknown = nn.Sequential(
        Demodulated(3, 8, 3), nn.Conv2d(8, 8, 3, dilation=2), nn.Conv2d(8, 8, 3, groups=2),
        nn.InstanceNorm2d(8, affine=True), nn.Conv2d(8, 8, 3, padding="same"),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(8),
    )  # fmt: skip
    classes, x = [type(layer) for layer in unknown], torch.randn(3, 3, 16, 16)
    accelerate(unknown, recompute=True)
    assert [type(layer) for layer in unknown] == classes
    statistics = torch.nn.functional.batch_norm(nn.Sequential(*list(unknown)[:-1])(x), None, None, training=True)
    torch.testing.assert_close(unknown(x), statistics)  # not row by row


def test_sequences_of_other_layers_work_too():
    """Heads of PatchNCE: pixels (N, C) rather than images."""
    head, pixels = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(6, 8)
    plain = head(pixels)
    for switches in ({}, {"recompute": True}):
        accelerate(head, **switches)
        torch.testing.assert_close(head(pixels), plain)


def plain_sequence(width: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *encoder(3, width, blocks=1), *decoder(4 * width, 3), nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2, True),
        spectral_norm(nn.Conv2d(width, width, 4, 2, 1)), nn.InstanceNorm2d(width), nn.LeakyReLU(0.2, True),
        spectral_norm(nn.Conv2d(width, 1, 4)),
    ).eval()  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "switches", [{}, {"recompute": True}, {"compiled": True}, {"precision": torch.bfloat16}], ids=str
)
@pytest.mark.parametrize("kind", [SetGenerator, AntiAliasedGenerator, SetDiscriminator, plain_sequence])
def test_hooks_on_every_convolution_are_called_once_with_what_plain_layers_give(kind, switches, layout):
    network = network_of(kind, layout)
    batch = random_batch(LONG) if kind is not plain_sequence else random_batch([0, 0]).image
    names = {layer: name for name, layer in network.named_modules() if isinstance(layer, CONVOLUTIONS)}
    calls = []
    for layer in names:
        layer.register_forward_hook(lambda layer, _, made: calls.append((names[layer], made.detach().clone().float())))
    network(batch)
    expected, calls[:] = list(calls), []
    accelerate(network, **switches)
    network(batch)
    assert sorted(name for name, _ in calls) == sorted(names.values())
    order = [name for name, _ in expected]
    for name, made in calls:
        wanted = expected[order.index(name)][1]
        tolerance = 0.1 if switches.get("precision") else 1e-3
        assert (made - wanted).norm() <= tolerance * wanted.norm(), name


@pytest.mark.parametrize("register", ["register_forward_pre_hook", "register_full_backward_hook"])
def test_other_hooks_are_called_once_too(register):
    network, calls = network_of(SetGenerator), []
    accelerate(network, recompute=True)
    layers = [layer for layer in network.modules() if isinstance(layer, CONVOLUTIONS)]
    for layer in layers:
        getattr(layer, register)(lambda layer, *_: calls.append(layer))
    outputs(network, random_batch(LONG))
    assert len(calls) == len(layers) and set(calls) == set(layers)


def test_a_hook_on_the_mask_decoder_sees_own_features_those_of_the_image_and_their_sum():
    network, seen = network_of(SetGenerator), []
    accelerate(network)
    network.mask_decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(random_batch([2]))
    assert [tuple(features.shape) for features in seen] == [(2, 48, 8, 8)]


def test_a_hook_of_all_modules_is_called_for_every_convolution():
    network, calls = network_of(SetGenerator), []
    accelerate(network)
    handle = nn.modules.module.register_module_forward_hook(lambda layer, *_: calls.append(layer))
    try:
        network(random_batch(LONG))
    finally:
        handle.remove()
    layers = [layer for layer in network.modules() if isinstance(layer, CONVOLUTIONS)]
    assert sorted(map(id, layers)) == sorted(id(layer) for layer in calls if isinstance(layer, CONVOLUTIONS))


def test_a_hook_makes_no_more_power_steps():
    counts = []
    for hook in (False, True):
        network = network_of(SetDiscriminator).train()
        accelerate(network, recompute=True)
        if hook:
            for layer in network.modules():
                layer.register_forward_hook(lambda *_: None)
        network(random_batch(LONG)).sum().backward()
        counts.append([buffer.clone() for buffer in network.buffers()])
    for one, other in zip(*counts, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_taps_are_those_of_plain_layers(layout):
    torch.manual_seed(0)
    network, x, taps = encoder(3, 4, blocks=2).to(memory_format=layout), random_batch([0, 0]).image, (0, 1, 2, 4, 8, -1)
    plain = features_at(network, x, taps)
    accelerate(network, recompute=True)
    for found, expected in zip(features_at(network, x, taps), plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_only_the_outermost_sequence_takes_the_precision():
    network = network_of(SetGenerator)
    accelerate(network, precision=torch.bfloat16, recompute=True)
    stacks = [module for module in network.modules() if isinstance(module, Stack)]
    assert len(stacks) == 4 and all(stack.execution.precision == torch.bfloat16 for stack in stacks)


class OfImage(nn.Module):
    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def forward(self, image):
        return self.generator.decoder(self.generator.encoder(image))


def test_a_network_with_kernels_is_exported_as_plain_layers():
    network, image = OfImage(network_of(ResnetGenerator, torch.channels_last)), random_batch([0]).image
    accelerate(network, recompute=True)
    program = torch.export.export(network, (image,), strict=False)
    names = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert "aten.conv2d.default" in names and not any("autograd" in name or "group_norm" in name for name in names)
    torch.testing.assert_close(program.module()(image), network(image), rtol=0, atol=1e-4)
