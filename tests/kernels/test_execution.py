"""How networks run changes what they cost and not what they compute."""

from argparse import Namespace
from copy import deepcopy

import pytest
import torch
from torch import nn

from engine.method import load_state, state_of
from instagan.errors import InputError
from instagan.kernels import accelerate
from instagan.kernels.normalisation import Activation
from instagan.kernels.sets import CHUNK
from instagan.networks.blocks import decoder
from instagan.networks.discriminators import SetDiscriminator
from instagan.networks.generators import SetGenerator
from instagan.networks.normalisation import InstanceNorm2d
from options.build import build_model
from options.parse import parse_training
from tests.batches import random_batch, random_pair, trained_on

LAST = torch.channels_last
FAST = "--memory_format", "channels_last"
"""What is chosen for wider networks than those here."""
TINY = ("--dataroot", ".", "--device", "cpu", "--ngf", "4", "--ndf", "4", "--load_size", "32", "--fine_size", "32")


def options(*flags: str) -> Namespace:
    return parse_training([*TINY, *flags]).values


def agree(made: torch.Tensor, reference: torch.Tensor, tolerance: float) -> None:
    """Within a part of the reference, as vectors: near the kink of a ReLU rounding decides about single gradients."""
    assert (made - reference).norm().item() <= tolerance * reference.norm().item()


LAYERS = {
    "residual": (8, lambda: [nn.ReflectionPad2d(1), nn.Conv2d(8, 8, 3), InstanceNorm2d(8), nn.ReLU(True),
                             nn.ReflectionPad2d(1), nn.Conv2d(8, 8, 3), InstanceNorm2d(8)]),
    "stride": (8, lambda: [nn.Conv2d(8, 6, 3, stride=2, padding=1), nn.InstanceNorm2d(6), nn.LeakyReLU(0.2, True),
                           nn.Conv2d(6, 5, 4, stride=2, padding=1)]),
    "up": (8, lambda: [nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1), InstanceNorm2d(6),
                       nn.ReLU(True), nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1)]),
    "few": (8, lambda: [nn.Conv2d(8, 4, 3, padding=1), InstanceNorm2d(4), nn.ReLU(True), nn.ReflectionPad2d(3),
                        nn.Conv2d(4, 3, 7)]),
    "one channel": (1, lambda: [nn.ReflectionPad2d(3), nn.Conv2d(1, 4, 7), InstanceNorm2d(4), nn.ReLU(True),
                                nn.Conv2d(4, 1, 3)]),
    "many": (4, lambda: [nn.Conv2d(4, 512, 4, padding=1), InstanceNorm2d(512), nn.LeakyReLU(0.2, True),
                         nn.Conv2d(512, 1, 4, padding=1)]),
}  # fmt: skip


def layers_of(name: str) -> tuple[int, nn.Sequential, nn.Sequential]:
    """Channels that go in, layers with kernels, and the same in plain float64."""
    torch.manual_seed(0)
    channels, build = LAYERS[name]
    plain = nn.Sequential(*build())
    fast = deepcopy(plain)
    accelerate(fast)
    return channels, fast, plain.double()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("rows", [1, 3])
def test_layers_are_torch_s_own_in_both_layouts(name, rows):
    """Results and all gradients against the plain layers of torch in float64."""
    channels, chain, original = layers_of(name)
    features = torch.randn(rows, channels, 13, 16) + 2
    reference = features.double().requires_grad_()
    expected = original(reference)
    weights = torch.randn(expected.shape, dtype=torch.double)
    (expected * weights).sum().backward()
    for layout in (torch.contiguous_format, LAST):
        chain.zero_grad(set_to_none=True)
        seen = features.clone().requires_grad_()
        made = chain.to(memory_format=layout)(seen)
        (made * weights).sum().backward()
        agree(made, expected, 1e-5)
        agree(seen.grad, reference.grad, 1e-2)
        for own, other in zip(chain.parameters(), original.parameters(), strict=True):
            if other.ndim > 1:  # gradients of biases before a normalisation are rounding
                agree(own.grad, other.grad, 1e-2)


@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_in_bfloat16_are_torch_s_own_within_its_rounding(name, layout):
    channels, chain, original = layers_of(name)
    chain.to(torch.bfloat16)
    original.load_state_dict(chain.state_dict())
    features = torch.randn(3, channels, 13, 16).to(torch.bfloat16)
    seen, reference = features.clone().requires_grad_(), features.double().requires_grad_()
    made, expected = chain.to(memory_format=layout)(seen), original(reference)
    slope = torch.randn(expected.shape).to(torch.bfloat16)
    made.backward(slope)
    expected.backward(slope.double())
    agree(made, expected, 0.03)
    agree(seen.grad, reference.grad, 0.15)
    for own, other in zip(chain.parameters(), original.parameters(), strict=True):
        if other.ndim > 1:
            agree(own.grad, other.grad, 0.15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
def test_what_is_computed_again_for_the_gradients_is_what_was_seen(dtype, layout):
    features = torch.randn(2, 8, 9, 7).to(dtype).contiguous(memory_format=layout)
    activation = Activation(1e-5, 0.2, (3, 3, 3, 3))
    seen, statistics = activation(features)
    again, same = activation(features, statistics)
    agree(again, seen.double(), 1e-6 if dtype == torch.float32 else 1e-3)
    assert same is statistics


@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("counts", [[2, 0, 3], [2], [0, 0]])
def test_what_masks_share_is_decoded_as_if_each_had_it(layout, recompute, counts):
    """In float64, with all gradients: against h_GA = [own ; image ; sum] in full."""
    torch.manual_seed(0)
    plain, batch = SetGenerator(2, blocks=2).double(), random_batch(counts, dtype=torch.float64)
    shared = deepcopy(plain).to(memory_format=layout)
    accelerate(shared, recompute=recompute)
    found = []
    for network in (shared, plain):
        made = network(batch)
        (made.image.square().sum() + (made.masks + 1).sum()).backward()
        weights = [p for p in network.parameters() if p.ndim > 1]  # those of biases are rounding
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in weights]
        found.append([made.image, made.masks, *gradients])
    for one, other in zip(*found, strict=True):
        agree(one, other, 1e-9)


def test_statistics_of_even_areas_are_exact():
    """Masks are constant over large areas: a plain running sum of them loses a hundred times the digits."""
    features = torch.full((1, 4, 200, 200), 0.1).contiguous(memory_format=LAST)
    features[..., :9, :9] = torch.rand(1, 4, 9, 9)
    norm = InstanceNorm2d(4)
    for switched_on in (False, True):
        if switched_on:
            accelerate(norm)
        agree(norm(features), nn.functional.instance_norm(features.double()), 2e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
def test_what_precedes_a_convolution_is_not_kept(layout):
    def kept(part: nn.Module) -> int:
        sizes = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.setdefault(t.untyped_storage().data_ptr(), (t.untyped_storage().nbytes(), t))[1],
            lambda t: t,
        ):
            part.to(memory_format=layout)(torch.randn(1, 16, 16, 16).contiguous(memory_format=layout))
        return sum(size for size, _ in sizes.values())

    layers = decoder(16, 3)
    plain = kept(layers)
    accelerate(layers)
    assert kept(layers) < 0.6 * plain


@pytest.mark.parametrize("kind", [SetGenerator, SetDiscriminator])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-9), (torch.float32, 1e-2)])
def test_recomputing_changes_no_result_and_no_gradient(kind, dtype, tolerance):
    """Within rounding, which decides in float32 about single gradients near the kink of a ReLU."""
    torch.manual_seed(0)
    network, batch, found = kind(4).to(dtype), random_batch([3, 1], dtype=dtype), []
    network.eval()  # in training every forward of the discriminator makes a power step
    for recompute in (False, True):
        accelerate(network, recompute=recompute)
        network.zero_grad(set_to_none=True)
        out = network(batch)
        out = out if isinstance(out, torch.Tensor) else torch.cat([out.image, out.masks], 1)
        out.square().mean().backward()
        found.append([out.detach().flatten(), torch.cat([weight.grad.flatten() for weight in network.parameters()])])
    (result, gradients), (again, gradients_again) = found
    agree(again, result, min(tolerance, 1e-5))
    agree(gradients_again, gradients, tolerance)


def test_a_large_set_is_looked_at_in_chunks():
    network = SetDiscriminator(4).eval()
    batch = random_batch([CHUNK * 3, 1], seed=1)
    assert batch.present.sum() > CHUNK * len(batch)
    plain = network(batch)
    accelerate(network)
    chunks = []
    stack, again = network.mask_features, network.mask_features._again
    stack._again = lambda layers, weights, features: chunks.append(len(features)) or again(layers, weights, features)
    scores = network(batch)
    assert chunks == [8, 5]
    agree(scores, plain, 1e-5)
    agree(torch.cat([network(batch[[row]]) for row in range(2)]), plain, 1e-5)


def test_bfloat16_stays_close_and_hands_out_float32():
    network, batch = SetGenerator(8), random_batch([2, 1])
    with torch.no_grad():
        full = network(batch)
        for layout in (torch.contiguous_format, LAST):
            accelerate(network.to(memory_format=layout), precision=torch.bfloat16)
            half = network(batch)
            assert half.image.dtype == half.masks.dtype == torch.float32
            assert 0 < (half.image - full.image).abs().max() < 0.2


def test_a_step_from_options():
    pair, losses = random_pair([2, 1], [1, 3]), {}
    for name, flags in {
        "default": (), "contiguous": ("--memory_format", "contiguous"), "channels_last": FAST,
        "recompute": (*FAST, "--checkpoint_activations"), "bf16": (*FAST, "--precision", "bf16"),
    }.items():  # fmt: skip
        torch.manual_seed(0)
        losses[name] = trained_on(build_model(options(*flags), torch.device("cpu")), pair)[0]
    for name, tolerance in (("contiguous", 0), ("channels_last", 1e-3), ("recompute", 1e-3), ("bf16", 0.1)):
        for loss, value in losses["default"].items():
            assert losses[name][loss].item() == pytest.approx(value.item(), rel=tolerance), (name, loss)


def test_half_precision_needs_a_gpu():
    with pytest.raises(InputError, match="--precision fp16 needs a CUDA GPU.*bf16"):
        build_model(options("--precision", "fp16"), torch.device("cpu"))


def test_moments_follow_the_layout_of_their_weights():
    """Adam's kernel walks through weights and moments side by side, so their layouts must be one."""
    device, pair = torch.device("cpu"), random_pair([2], [1])
    kept = build_model(options("--memory_format", "contiguous"), device)
    trained_on(kept, pair)
    other = build_model(options(*FAST), device)
    load_state(other, state_of(kept))
    for optimizer in other.optimizers().values():
        for weight, state in optimizer.state.items():
            assert state["exp_avg"].stride() == weight.stride() == state["exp_avg_sq"].stride()
    for model in (kept, other):
        trained_on(model, pair)
    weights = [dict(model.named_parameters())["networks.G_A.image_encoder.1.weight"] for model in (kept, other)]
    agree(weights[1], weights[0], 2e-2)


@pytest.mark.slow
def test_compiled_stacks_are_not_compiled_for_every_number_of_instances():
    from torch._dynamo.utils import counters

    small = ("--netG_blocks", "1")  # compiling takes minutes where they are nine
    model = build_model(options("--compile", *small), torch.device("cpu"))
    eager = build_model(options(*small), torch.device("cpu"))
    load_state(eager, state_of(model))
    first = random_pair([3], [2])
    compiled_losses, eager_losses = trained_on(model, first)[0], trained_on(eager, first)[0]
    for name, loss in eager_losses.items():
        assert compiled_losses[name].item() == pytest.approx(loss.item(), rel=1e-2)
    graphs = []
    for step in range(24):  # the numbers of instances come again after twelve
        trained_on(model, random_pair([1 + step % 4, step % 3], [1 + step % 3, 4 - step % 4], seed=step))
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs[-1] == graphs[len(graphs) // 2] <= 4 * 2 * 2 * 3  # stacks, networks, with and without gradients
