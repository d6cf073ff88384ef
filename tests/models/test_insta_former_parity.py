"""InstaFormer as published, and two variants of it: every stage, losses, gradients and weights of golden traces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.update import Update
from instagan.kernels import accelerate
from instagan.losses.patch_nce import at_positions, patch_nce
from instagan.networks.insta_former import (
    BatchNormDiscriminator,
    InstaFormerGenerator,
    Objects,
    adaptive_norm,
    sinusoids,
)
from instagan.networks.projection import ProjectionHeads
from instagan.structures.instances import InstanceBatch
from models import insta_former_model
from models.insta_former_model import InstaFormerModel, Objective
from tests.batches import pair_of
from tests.traces import INSTA_FORMER, Trace, sampled, statistics, traces_of

TRACES = traces_of(INSTA_FORMER)
HOW = {
    "plain layers": (torch.float32, torch.contiguous_format, False),
    "kernels": (torch.float32, torch.contiguous_format, True),
    "kernels, channels_last": (torch.float32, torch.channels_last, True),
    "float64": (torch.float64, torch.contiguous_format, False),
}
"""Type, memory layout, and whether the kernels are on."""
LOSSES = {
    "D": "D_total", "G": "GAN", "recon": "recon", "style": "style", "NCE": "NCE", "NCE_object": "instNCE",
}  # fmt: skip
"""Our names of losses -> published ones."""
OUR_NAMES = {
    "ContentEncoder": [(r"model\.(\d+)\.(\w+)", r"content.\1.\2")],
    "StyleEncoder": [(r"model\.13\.(\w+)", r"style.code.1.\1"), (r"model\.(\d+)\.(\w+)", r"style.layers.\1.\2")],
    "MLP_Adain": [(rf"model\.{n}\.fc\.(\w+)", rf"mapping.{2 * n}.\1") for n in range(3)],
    "Transformer": [
        (r"patch_embed\.proj\.(\d)\.(\w+)", r"transformer.patches.\1.\2"),
        (r"box_embed\.proj\.(\d)\.(\w+)", r"transformer.boxes.\1.\2"),
        (r"transformer\.layers\.(\d+)\.0\.fn\.to_qkv\.(\w+)", r"transformer.blocks.\1.qkv.0.\2"),
        (r"transformer\.layers\.(\d+)\.0\.fn\.to_out\.0\.(\w+)", r"transformer.blocks.\1.out.0.\2"),
        (r"transformer\.layers\.(\d+)\.1\.fn\.net\.0\.(\w+)", r"transformer.blocks.\1.mlp.0.\2"),
        (r"transformer\.layers\.(\d+)\.1\.fn\.net\.3\.(\w+)", r"transformer.blocks.\1.mlp.2.\2"),
    ],
    "Decoder": [
        (r"inv_patch_embed\.2\.(\w+)", r"decoder.expansion.\1"),
        (r"inv_patch_embed_box\.0\.(\w+)", r"decoder.object_expansion.\1"),
        (r"model\.(\d+)\.(\w+)", r"decoder.layers.\1.\2"),
    ],
    "Discrim": [(r"model\.(\d+)\.(\w+)", r"layers.\1.\2")],
    "MLP_head": [(r"mlp_(\d)\.(\d)\.(\w+)", r"\1.\2.\3")],
    "MLP_head_inst": [(r"mlp_(\d)\.(\d)\.(\w+)", r"\1.\2.\3")],
}
"""Published network -> patterns of its parameters' names, and ours."""
OF_G = ("ContentEncoder", "StyleEncoder", "MLP_Adain", "Transformer", "Decoder")
OPTIMIZERS = {**dict.fromkeys(OF_G, "G"), "Discrim": "D", "MLP_head": "F", "MLP_head_inst": "F"}
"""Published network -> our optimizer of it."""


@cache
def trace_of(path: Path) -> Trace:
    return Trace(path)


@pytest.fixture(params=TRACES, ids=lambda path: path.stem)
def trace(request) -> Trace:
    return trace_of(request.param)


def our_name(network: str, published: str) -> str:
    found = [
        re.sub(pattern, ours, published) for pattern, ours in OUR_NAMES[network] if re.fullmatch(pattern, published)
    ]
    return found[0]


def renamed(trace: Trace, network: str, drawn_as: str | None = None) -> dict[str, Tensor]:
    return {our_name(network, name): weight for name, weight in trace.weights(drawn_as or network).items()}


def generator_of(trace: Trace, separate_adain: bool = False, mask_padding: bool = False) -> InstaFormerGenerator:
    meta = trace.meta
    G = InstaFormerGenerator(
        meta["ngf"], meta["style_dim"], meta["mapping_hidden"], meta["embed"], meta["depth"], meta["heads"],
        meta["patch"], separate_adain, mask_padding, decodes_objects=True, extent=(meta["map"], meta["map"]),
    )  # fmt: skip
    weights = {key: weight for network in OF_G for key, weight in renamed(trace, network).items()}
    if separate_adain:
        weights |= renamed(trace, "MLP_Adain", "MLP_Adain_separate")
    told = G.load_state_dict(weights, strict=False)
    assert told.missing_keys == ["transformer.positions.extent"] and not told.unexpected_keys
    return G


def discriminator_of(trace: Trace) -> BatchNormDiscriminator:
    D = BatchNormDiscriminator(trace.meta["ndf"])
    told = D.load_state_dict(renamed(trace, "Discrim"), strict=False)
    assert all(name.rpartition(".")[2].startswith(("running_", "num_")) for name in told.missing_keys)
    assert not told.unexpected_keys
    return D


def heads_of(trace: Trace) -> tuple[ProjectionHeads, ProjectionHeads]:
    """Of the pictures' layers, and of objects."""
    made = []
    for network in ("MLP_head", "MLP_head_inst"):
        weights = renamed(trace, network)
        firsts = [weights[f"{place}.0.weight"] for place in range(len(weights) // 4)]
        heads = ProjectionHeads([first.shape[1] for first in firsts], len(firsts[0]))
        heads.load_state_dict(weights)
        made.append(heads)
    return made[0], made[1]


def pictures(trace: Trace, domain: str, step: int = 1, dtype: torch.dtype = torch.float32) -> InstanceBatch:
    """With the boxes of a step. Where padded slots have a place in the published program, they have the same here."""
    image, rows = trace.tensor(f"input/{domain}").to(dtype), trace.tensor(f"input/step{step}/{domain}_box")
    size, last = trace.meta["size"], trace.meta["map"] - 1
    present = rows[..., 0] >= 0  # (B, N)
    place = int(trace.meta["padded_row"][1] * last) % (last + 1)  # a negative one counts from the end
    nowhere = rows.new_full((4,), (place + 0.5) / last)
    boxes = torch.where(present[..., None], rows[..., 1:], nowhere)  # (B, N, 4)
    return InstanceBatch(image, None, present, torch.zeros_like(present, dtype=torch.long), given_boxes=boxes * size)


def style_of(trace: Trace, step: int = 1) -> Tensor:
    return trace.tensor(f"input/step{step}/z").flatten(1)  # (B, S)


def tokens_of(G: InstaFormerGenerator, x: InstanceBatch, codes: Tensor) -> Tensor:
    """(B, T, E)."""
    of_patches, of_objects = G.transformer(G.content(x.image), Objects.of(x), numbers_of(G, codes))
    return torch.cat([of_patches.flatten(2).transpose(1, 2), of_objects], dim=1)


def numbers_of(G: InstaFormerGenerator, codes: Tensor) -> Tensor:
    return G.mapping(codes).unflatten(1, (G.adain_layers, -1))  # (B, L, 2 E)


def layer_by_layer(layers: list[nn.Module], x: Tensor) -> tuple[Tensor, list[list[int]]]:
    """Statistics and shape of what every layer gives, taken before the next one may change it in place."""
    found, shapes = [], []
    for layer in layers:
        x = layer(x)
        found.append(statistics(x))
        shapes.append(list(x.shape))
    return torch.stack(found), shapes


def test_there_are_traces():
    assert TRACES


@torch.no_grad()
def test_encoders_and_the_mapping(trace):
    G, a, b = generator_of(trace), pictures(trace, "A").image, pictures(trace, "B").image
    found, shapes = layer_by_layer(list(G.content), a)
    assert shapes == trace.meta["content_layer_shapes"]
    trace.assert_close(found, "forward/content_layers_A")
    trace.assert_close(G.content(a), "forward/content_A")
    trace.assert_close(G.content(b), "forward/content_B")
    found, shapes = layer_by_layer([*G.style.layers, *G.style.code], b)
    assert shapes == trace.meta["style_layer_shapes"]
    trace.assert_close(found, "forward/style_layers_B")
    for letter, image in (("A", a), ("B", b)):
        trace.assert_close(G.style(image)[..., None, None], f"forward/style_{letter}")
    trace.assert_close(G.mapping(style_of(trace)), "forward/adain_z")
    trace.assert_close(G.mapping(G.style(b)), "forward/adain_style_B")


@torch.no_grad()
def test_tokens_and_the_transformer(trace):
    G, x = generator_of(trace), pictures(trace, "A")
    transformer, objects, content = G.transformer, Objects.of(x), G.content(x.image)
    grid, cells = (trace.meta["grid"],) * 2, content.shape[2:]
    trace.assert_close(
        sinusoids(torch.arange(trace.meta["map"]).float(), trace.meta["embed"] // 4), "forward/position_table"
    )
    trace.assert_close(transformer.positions.of_patches(grid, cells, content), "forward/position_global")
    trace.assert_close(transformer.positions.of_boxes(objects.boxes, content), "forward/position_boxes_A")
    of_patches, regions = transformer.patches(content), transformer.regions(content, objects)
    trace.assert_close(of_patches.flatten(2).transpose(1, 2), "forward/patch_tokens_A")
    trace.assert_close(regions.flatten(0, 1), "forward/roi_A")
    of_boxes = transformer.boxes(regions.flatten(0, 1)).unflatten(0, regions.shape[:2])[..., 0, 0]
    trace.assert_close(of_boxes, "forward/box_tokens_A")
    embedded = transformer.embed(content, objects)
    assert embedded.there is None and embedded.grid == grid
    tokens = embedded.tokens
    trace.assert_close(tokens, "forward/transformer_in_A")
    numbers = numbers_of(G, style_of(trace))
    block, of_layer = transformer.blocks[0], numbers[:, 0]
    first = adaptive_norm(tokens, of_layer)
    trace.assert_close(first, "forward/block0_adain_attn")
    trace.assert_close(block.attention(first, None), "forward/block0_attention")
    second = adaptive_norm(tokens + block.attention(first, None), of_layer)
    trace.assert_close(second, "forward/block0_adain_mlp")
    trace.assert_close(block.mlp(second), "forward/block0_mlp")
    of_blocks = []
    for block in transformer.blocks:
        tokens = block(tokens, (of_layer, of_layer), None)
        of_blocks.append(tokens)
    trace.assert_close(torch.stack(of_blocks), "forward/transformer_blocks_A")
    torch.testing.assert_close(tokens_of(G, x, style_of(trace)), tokens)
    again, _ = transformer(content, objects, numbers, regions)
    torch.testing.assert_close(again.flatten(2).transpose(1, 2), tokens[:, : grid[0] * grid[1]])


@torch.no_grad()
def test_the_decoder(trace):
    G, x, real = generator_of(trace), pictures(trace, "A"), pictures(trace, "B")
    content, objects = G.content(x.image), Objects.of(x)
    of_patches, of_objects = G.transformer(content, objects, numbers_of(G, style_of(trace)))
    expanded = G.decoder.expansion(of_patches)
    trace.assert_close(expanded, "forward/expanded_A")
    found, shapes = layer_by_layer(list(G.decoder.layers), expanded)
    assert shapes == trace.meta["decoder_layer_shapes"]
    trace.assert_close(found, "forward/decoder_layers_A")
    trace.assert_close(G(x, style=style_of(trace)).image, "forward/fake")
    trace.assert_close(G.decoder.of_objects(of_objects.flatten(0, 1)), "forward/fake_box")
    trace.assert_close(G(real, style=real).image, "forward/recon_B")


@torch.no_grad()
def test_translating_without_boxes(trace):
    G, x, real = generator_of(trace), pictures(trace, "A").slots(0, 0), pictures(trace, "B")
    for name, style, codes in (("z", style_of(trace), style_of(trace)), ("style_B", real, G.style(real.image))):
        tokens = tokens_of(G, x, codes)
        trace.assert_close(tokens, f"test/tokens_{name}")
        trace.assert_close(G(x, style=style).image, f"test/fake_{name}")


@torch.no_grad()
def test_every_layer_of_the_discriminator(trace):
    fake = generator_of(trace)(pictures(trace, "A"), style=style_of(trace))
    for name, judged in (("B", pictures(trace, "B")), ("fake", fake)):
        D = discriminator_of(trace)
        found, shapes = layer_by_layer(list(D.layers), judged.image)
        assert shapes == trace.meta["D_layer_shapes"]
        trace.assert_close(found, f"forward/D_layers_{name}")
        trace.assert_close(D(judged), f"forward/D_{name}")


@torch.no_grad()
def test_features_and_their_losses(trace):
    G, (heads, of_objects), x = generator_of(trace), heads_of(trace), pictures(trace, "A")
    taps, objects = trace.meta["options"]["feat_layers"], Objects.of(x)
    owner, slot = x.instances()
    found = {}
    for name, image in (("A", x.image), ("fake", G(x, style=style_of(trace)).image)):
        features, content = G.encode(image, taps)
        regions = G.transformer.regions(content, objects)
        trace.assert_close(regions.flatten(0, 1), f"forward/roi_{name}")
        maps = dict(zip([*taps, "roi"], [*features, regions[owner, slot]], strict=True))
        gathered = {tap: at_positions(of, trace.tensor(f"input/step1/ids/{tap}").long()) for tap, of in maps.items()}
        projected = [*heads([gathered[tap] for tap in taps]), *of_objects([gathered["roi"]])]
        found[name] = dict(zip(maps, projected, strict=True))
        for place, (tap, of_tap) in enumerate(maps.items()):
            trace.assert_close(statistics(of_tap), f"forward/tap_stats_{name}/{tap}")
            trace.assert_close(gathered[tap].flatten(0, 1), f"forward/gathered_{name}/{tap}")
            trace.assert_close(projected[place].flatten(0, 1)[:8], f"forward/projected_{name}/{tap}")
            trace.assert_close(statistics(projected[place]), f"forward/projected_stats_{name}/{tap}")
            if name == "A":
                raw = [*heads, *of_objects][place](gathered[tap].flatten(0, 1)[:8])
                trace.assert_close(raw, f"forward/projected_raw_A/{tap}")
    for tap, query in found["fake"].items():
        key = found["A"][tap]
        trace.assert_close((query * key).sum(-1).flatten(), f"forward/nce_positive/{tap}")
        trace.assert_close(query[-1, :3] @ key[-1].T, f"forward/nce_similarity_rows/{tap}")
        losses = patch_nce(query, key, trace.meta["options"]["nce_T"])
        trace.assert_close(losses.flatten(), f"forward/nce_loss_vector/{tap}")


@torch.no_grad()
def test_padding_that_takes_no_part(trace):
    G, x, real = generator_of(trace, mask_padding=True), pictures(trace, "A"), pictures(trace, "B")
    objects = Objects.of(x)
    tokens = tokens_of(G, x, style_of(trace))
    there = torch.cat([objects.there.new_ones(len(x), trace.meta["grid"] ** 2), objects.there], 1)
    trace.assert_close(tokens * there[..., None], "repaired/mask_padding/tokens_A")
    trace.assert_close(G(x, style=style_of(trace)).image, "repaired/mask_padding/fake")
    trace.assert_close(G(real, style=real).image, "repaired/mask_padding/recon_B")


@torch.no_grad()
def test_numbers_of_its_own_for_every_adain(trace):
    G, x = generator_of(trace, separate_adain=True), pictures(trace, "A")
    trace.assert_close(G.mapping(style_of(trace)), "repaired/separate_adain/adain_z")
    tokens = tokens_of(G, x, style_of(trace))
    trace.assert_close(tokens, "repaired/separate_adain/tokens_A")
    trace.assert_close(G(x, style=style_of(trace)).image, "repaired/separate_adain/fake")


def model_of(trace: Trace, mask_padding: bool = False) -> InstaFormerModel:
    options = trace.meta["options"]
    weights = [options[f"w_{name}"] for name in ("GAN", "Recon", "Style", "NCE", "Instance_NCE")]
    objective = Objective(
        *weights, layers=tuple(options["feat_layers"]), patches=options["num_patches"], temperature=options["nce_T"]
    )
    networks = generator_of(trace, mask_padding=mask_padding), discriminator_of(trace), *heads_of(trace)
    model = InstaFormerModel(*networks, objective, lr=options["lr"], beta1=options["betas_G_and_D"][0])
    assert model.optimizer_F.defaults["betas"] == tuple(options["betas_heads"])
    return model


class Recorded:
    """Plays what the published system drew by chance in a step, in the order in which it is asked for."""

    def __init__(self, trace: Trace, step: int) -> None:
        self.style = style_of(trace, step)
        keys = [*trace.meta["options"]["feat_layers"], "roi"]
        self.positions = iter([trace.tensor(f"input/step{step}/ids/{key}").long() for key in keys])

    def draw_styles(self, style_size: int, generators: list[torch.Generator]) -> Tensor:
        assert self.style.shape == (len(generators), style_size)
        return self.style

    def draw_positions(self, count: int, features: Tensor, generators: list[torch.Generator]) -> Tensor:
        positions = next(self.positions)
        assert len(positions) == min(count, features[0, 0].numel())
        return positions.expand(len(generators), -1)


@pytest.mark.parametrize("how", HOW)
def test_every_step_of_training(trace, monkeypatch, how):
    """Losses, gradients, weights and D's running statistics after every step, then the generator as it is at the end.

    float32 is held to the first step, and its gradients less closely: in both traces one unit of D is so near to 0 that
    its leaky ReLU may turn on rounding, which changes a gradient of G by up to 0.5 %. Later, Adam moves weights whose
    gradients are nearly 0 by chance.
    """
    model, exact = model_of(trace), how == "float64"
    for step, update, gradients in training(trace, model, monkeypatch, how):
        compare_losses(update.losses(), trace, f"train/step{step}")
        for network in OPTIMIZERS:
            compare_gradients(gradients[network], trace, step, network, 1 if exact else 20)
            if exact:
                compare_weights(parameters(model, trace, network), trace, step, network)
        for name in ("mean", "var"):
            kept = [getattr(one, f"running_{name}") for one in model.D.modules() if isinstance(one, nn.BatchNorm2d)]
            trace.assert_close(torch.cat(kept), f"train/step{step}/D_running_{name}")
    if exact:
        with torch.no_grad():
            x = pictures(trace, "A", dtype=torch.float64)
            trace.assert_close(model.G(x, style=style_of(trace)).image, "final/fake")


@pytest.mark.parametrize("how", HOW)
def test_steps_of_training_with_padding_that_takes_no_part(trace, monkeypatch, how):
    if "repaired/mask_padding/train/step1/loss_GAN" not in trace.arrays:
        pytest.skip("pictures with different numbers of boxes were not trained on")
    for step, update, _ in training(trace, model_of(trace, mask_padding=True), monkeypatch, how):
        compare_losses(update.losses(), trace, f"repaired/mask_padding/train/step{step}")


def training(
    trace: Trace, model: InstaFormerModel, monkeypatch, how: str
) -> Iterator[tuple[int, Update, dict[str, list[Tensor]]]]:
    """Each step after it was made: its number, its update, the gradients with which weights were moved."""
    dtype, layout, kernels = HOW[how]
    model.to(dtype, memory_format=layout)
    if kernels:
        accelerate(model.networks)
    gradients, made = gradients_before_steps(model, trace), []
    model.G.decoder.register_forward_hook(lambda _, __, picture: made.append(picture))
    for step in range(1, trace.meta["steps"] + 1 if how == "float64" else 2):
        recorded = Recorded(trace, step)
        for name in ("draw_styles", "draw_positions"):
            monkeypatch.setattr(insta_former_model, name, getattr(recorded, name))
        update = Update([pair_of(*(pictures(trace, letter, step, dtype) for letter in "AB"))])
        made.clear()
        model.training_step(update)
        left = len(list(recorded.positions))
        assert left == (0 if update.pairs[0]["A"].present.any() else 1)  # all that was drawn there was drawn here
        start = "repaired/mask_padding/" if model.G.transformer.mask_padding else ""
        for name, picture in zip(("fake", "recon"), made, strict=True):
            trace.assert_close(statistics(picture), f"{start}train/step{step}/{name}_stats")
        yield step, update, gradients


def parameters(model: InstaFormerModel, trace: Trace, network: str) -> list[Tensor]:
    """In the order of the trace."""
    ours = {"Discrim": model.D, "MLP_head": model.F, "MLP_head_inst": model.F_object}.get(network, model.G)
    return [ours.get_parameter(our_name(network, name)) for name in trace.names(network)]


def gradients_before_steps(model: InstaFormerModel, trace: Trace) -> dict[str, list[Tensor]]:
    """By published network, those with which its optimizer made its last step, NaN without; filled as it trains."""
    found: dict[str, list[Tensor]] = {}
    for name, optimizer in model.optimizers().items():

        def keep(*_, name: str = name) -> None:
            for network in (network for network, of in OPTIMIZERS.items() if of == name):
                weights = parameters(model, trace, network)
                found[network] = [
                    torch.full_like(one, torch.nan) if one.grad is None else one.grad.clone() for one in weights
                ]

        optimizer.register_step_pre_hook(keep)
    return found


def compare_losses(losses: dict[str, Tensor], trace: Trace, start: str) -> None:
    for name, loss in losses.items():
        trace.assert_close(loss, f"{start}/loss_{LOSSES[name]}")
    assert losses.keys() == LOSSES.keys()
    total = torch.stack([loss for name, loss in losses.items() if name != "D"]).sum()
    trace.assert_close(total, f"{start}/loss_G_total")


def compare_gradients(gradients: list[Tensor], trace: Trace, step: int, network: str, slack: float) -> None:
    norms = torch.stack([gradient.norm() for gradient in gradients])
    trace.assert_close(norms, f"train/step{step}/grad_norm/{network}", slack)
    trace.assert_close(norms.nan_to_num().norm(), f"train/step{step}/grad_total/{network}", slack)
    of_each = torch.stack([sampled(gradient, 8) for gradient in gradients])
    trace.assert_close(of_each, f"train/step{step}/grad_sample/{network}", slack)


def compare_weights(weights: list[Tensor], trace: Trace, step: int, network: str) -> None:
    norms = torch.stack([weight.detach().norm() for weight in weights])
    trace.assert_close(norms, f"train/step{step}/weight_norm/{network}")
    of_each = torch.stack([sampled(weight, 8) for weight in weights])
    trace.assert_close(of_each, f"train/step{step}/weight_sample/{network}")
