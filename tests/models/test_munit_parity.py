"""MUNIT as published: stage by stage, losses, gradients and weights of golden traces, every array of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain

import pytest
import torch
from torch import Tensor, nn

from engine.update import Losses, Update
from instagan.kernels import accelerate
from instagan.losses import lsgan, vanilla
from instagan.networks.munit import (
    AdaptiveResidualBlock,
    ContentEncoder,
    Decoder,
    LayerNorm,
    MultiScaleDiscriminator,
    StyleEncoder,
)
from instagan.structures.instances import InstanceBatch
from models import munit_model
from models.munit_model import Domain, MunitModel, Turn, Way, Weights
from tests.batches import pair_of
from tests.formula_traces import FormulaTrace
from tests.traces import MUNIT, traces_of

GROUPS = {"enc_style": "style", "enc_content": "content", "dec": "decoder", "mlp": "mlp"}
"""Published parts of a generator -> ours; the decoder without its mlp."""
LOSSES = {
    "recon_x": ("gen_recon_x", "recon_x"),
    "recon_c": ("gen_recon_c", "recon_c"),
    "recon_s": ("gen_recon_s", "recon_s"),
    "G": ("gen_adv", "gan"),
    "cyc": ("gen_cycrecon_x", "recon_x_cyc"),
    "D": ("dis", ""),
}
"""Our names of losses -> published ones, and those of their weights."""


def our_name(published: str) -> str:
    """Of a parameter: enc_style.model.1.conv.weight is our style.layers.4.weight."""
    patterns = (
        (r"enc_style\.model\.6\.(\w+)", lambda found: f"style.layers.16.{found[1]}"),
        (r"enc_style\.model\.(\d)\.conv\.(\w+)", lambda found: f"style.layers.{3 * int(found[1]) + 1}.{found[2]}"),
        (
            r"enc_content\.model\.3\.model\.(\d)\.model\.(\d)\.conv\.(\w+)",
            lambda found: f"content.blocks.{found[1]}.layers.{4 * int(found[2]) + 1}.{found[3]}",
        ),
        (r"enc_content\.model\.(\d)\.conv\.(\w+)", lambda found: f"content.stem.{4 * int(found[1]) + 1}.{found[2]}"),
        (
            r"dec\.model\.0\.model\.(\d)\.model\.(\d)\.conv\.(\w+)",
            lambda found: f"decoder.blocks.{found[1]}.{('first', 'second')[int(found[2])]}.1.{found[3]}",
        ),
        (r"dec\.model\.5\.conv\.(\w+)", lambda found: f"decoder.tail.11.{found[1]}"),
        (r"dec\.model\.([24])\.conv\.(\w+)", lambda found: f"decoder.tail.{(2, 7)[found[1] == '4']}.{found[2]}"),
        (
            r"dec\.model\.([24])\.norm\.(\w+)",
            lambda found: f"decoder.tail.{(3, 8)[found[1] == '4']}.{'gain' if found[2] == 'gamma' else 'bias'}",
        ),
        (r"mlp\.model\.(\d)\.fc\.(\w+)", lambda found: f"decoder.mlp.{2 * int(found[1])}.{found[2]}"),
        (r"cnns\.(\d)\.4\.(\w+)", lambda found: f"D.scales.{found[1]}.12.{found[2]}"),
        (r"cnns\.(\d)\.(\d)\.conv\.(\w+)", lambda found: f"D.scales.{found[1]}.{3 * int(found[2]) + 1}.{found[3]}"),
    )
    (ours,) = (say(found) for pattern, say in patterns if (found := re.fullmatch(pattern, published)))
    return ours


def model_of(trace: FormulaTrace) -> MunitModel:
    size, hyper = trace.meta["cfg"], trace.meta["hyper"]["weights"]
    domains = {}
    for letter in "ab":
        domain = Domain(
            ContentEncoder(size["dim"], size["n_res"]),
            StyleEncoder(size["dim"], size["style_dim"]),
            Decoder(size["dim"], size["n_res"], size["style_dim"], size["mlp_dim"]),
            MultiScaleDiscriminator(size["dim"], size["num_scales"]),
        )
        nn.ModuleDict(vars(domain)).load_state_dict(
            {our_name(name): trace.weights[net, name] for net, name in trace.names(f"gen_{letter}", f"dis_{letter}")}
        )
        domains[letter.upper()] = domain
    return MunitModel(**domains, weights=Weights(**{f"{name}_w": value for name, value in hyper.items()}))


def parameters(model: MunitModel, trace: FormulaTrace, part: str) -> list[Tensor]:
    """Of the discriminators ("D") or the generators ("G"), in the order of the trace."""
    networks = [f"{'dis' if part == 'D' else 'gen'}_{letter}" for letter in "ab"]
    ours = {letter: nn.ModuleDict(vars(domain)) for letter, domain in model.domains.items()}
    return [ours[net[-1].upper()].get_parameter(our_name(name)) for net, name in trace.names(*networks)]


def stages(layers: nn.Sequential, x: Tensor) -> Iterator[Tensor]:
    """What every layer gives, copied before the next one may change it."""
    for layer in layers:
        x = layer(x)
        yield x.clone()


@torch.no_grad()
def compare_forward(trace: FormulaTrace, model: MunitModel) -> None:
    images = {letter: trace.given(f"x_{letter}") for letter in "ab"}
    contents = {}
    for letter, x in images.items():
        domain, start = model.domains[letter.upper()], f"fwd/gen_{letter}"
        style = list(stages(domain.style.layers, x))
        for number in range(5):
            trace.assert_close(style[3 * number + 2], f"{start}/style/conv{number}")
        trace.assert_close(style[15], f"{start}/style/pool")
        trace.assert_close(domain.style(x), f"{start}/style/out")
        stem = list(stages(domain.content.stem, x))
        for number in range(3):
            trace.assert_close(stem[4 * number + 3], f"{start}/content/conv{number}")
        for number, of_block in enumerate(stages(domain.content.blocks, stem[-1])):
            trace.assert_close(of_block, f"{start}/content/res{number}")
        contents[letter] = domain.content(x)
        torch.testing.assert_close(contents[letter], of_block)
    for source, target in ("ab", "ba"):
        decoder, code = model.domains[target.upper()].decoder, trace.given(f"fwd/s_{target}").flatten(1)
        compare_decoder(trace, decoder, contents[source], code, f"fwd/gen_{target}/decode_x_{source}{target}")
    for letter, x in images.items():
        compare_discriminator(trace, model.domains[letter.upper()].D, x, f"fwd/dis_{letter}")


def compare_decoder(trace: FormulaTrace, decoder: Decoder, content: Tensor, code: Tensor, start: str) -> None:
    numbers = decoder.mlp(code)
    trace.assert_close(numbers, f"{start}/adain_params")
    x = content
    for number, (block, of_block) in enumerate(zip(decoder.blocks, numbers.chunk(len(decoder.blocks), 1), strict=True)):
        shift, scale = of_block[:, :, None, None].chunk(4, 1)[:2]
        first = block.first(x)
        normalised = shift + scale * block.norm(first)
        trace.assert_close(first, f"{start}/res{number}/conv0")
        trace.assert_close(normalised, f"{start}/res{number}/adain0")
        trace.assert_close(normalised.relu(), f"{start}/res{number}/adain0_relu")
        x = block(x, of_block)
        trace.assert_close(x, f"{start}/res{number}")
    tail = list(stages(decoder.tail, x))
    for place, name in ((2, "up0/conv"), (3, "up0/norm"), (4, "up0"), (9, "up1"), (12, "image")):
        trace.assert_close(tail[place], f"{start}/{name}")
    torch.testing.assert_close(decoder(content, code), tail[-1])


def compare_discriminator(trace: FormulaTrace, D: MultiScaleDiscriminator, x: Tensor, start: str) -> None:
    """Every stage on a real picture, and both losses with the other domain's translation as the fake one."""
    seen = x
    for scale, layers in enumerate(D.scales):
        of_scale = list(stages(layers, seen))
        for number in range(5):
            trace.assert_close(
                of_scale[3 * number + 2 if number < 4 else 12], f"{start}/real/scale{scale}/conv{number}"
            )
        seen = D.halved(seen)
        if scale == 0:
            trace.assert_close(seen, f"{start}/real/half")


@torch.no_grad()
def compare_gan_losses(trace: FormulaTrace, model: MunitModel) -> None:
    for source, target in ("ab", "ba"):
        own, other = model.domains[source.upper()], model.domains[target.upper()]
        code = trace.given(f"fwd/s_{target}").flatten(1)
        fake = other.decoder(own.content(trace.given(f"x_{source}")), code)
        of_fake, of_real = (other.D(InstanceBatch.from_images(x)) for x in (fake, trace.given(f"x_{target}")))
        for name, loss in (("lsgan", lsgan), ("nsgan", vanilla)):
            dis = sum(loss(a, False).mean() + loss(b, True).mean() for a, b in zip(of_fake, of_real, strict=True))
            trace.assert_close(dis, f"fwd/dis_{target}/{name}/dis")
            trace.assert_close(sum(loss(a, True).mean() for a in of_fake), f"fwd/dis_{target}/{name}/gen")


@torch.no_grad()
def compare_norms(trace: FormulaTrace) -> None:
    """Small arrays of low contrast, in which the place of eps and the kind of variance show."""
    x, gain, shift = (trace.given(f"unit/{name}") for name in ("x", "gain", "shift"))
    layer_norm = LayerNorm(x.shape[1])
    layer_norm.gain.copy_(gain[0])
    layer_norm.bias.copy_(shift[0])
    trace.assert_close(layer_norm(x), "unit/layernorm")
    trace.assert_close(layer_norm(x[:1]), "unit/layernorm_batch1")
    norm = AdaptiveResidualBlock(x.shape[1]).norm
    trace.assert_close(norm(x), "unit/instancenorm")
    trace.assert_close(shift[:, :, None, None] + gain[:, :, None, None] * norm(x), "unit/adain")


class Watched(MunitModel):
    """Plays the recorded styles, and compares what its networks give and what its losses' gradients are."""

    trace: FormulaTrace
    step = 1

    def play(self, trace: FormulaTrace, monkeypatch) -> None:
        self.trace, self.calls = trace, defaultdict(list)
        for letter, domain in self.domains.items():
            for role, network in {**vars(domain), "mlp": domain.decoder.mlp}.items():
                key = role, letter.lower()
                network.register_forward_hook(lambda _, __, made, key=key: self.calls[key].append(made))
        self.optimizer_D.register_step_pre_hook(lambda *_: self.before_step("D"))
        self.optimizer_G.register_step_pre_hook(lambda *_: self.before_step("G"))
        self.befores: dict[str, list[Tensor]] = {}
        self.gradients: dict[str, list[Tensor]] = {}
        for step in (1, 2):
            self.step = step
            drawn = iter([trace.given(f"step{step}/{part}/s_{of}").flatten(1) for of in "ba" for part in "DG"])
            monkeypatch.setattr(munit_model, "draw_styles", lambda *_, drawn=drawn: next(drawn))
            update = Update([pair_of(*(InstanceBatch.from_images(trace.given(f"x_{letter}")) for letter in "ab"))])
            self.training_step(update)
            assert next(drawn, None) is None
            self.compare_losses(update.losses())
            for part in "DG":
                self.compare_step(part)

    def discriminator_losses(self, way: Way, turn: Turn) -> Iterator[Losses]:
        self.calls.clear()
        yield from super().discriminator_losses(way, turn)
        if self.step == 1:
            a, b = way.source.lower(), way.target.lower()
            self.same("D", {f"c_{a}": ("content", a), f"x_{a}{b}": ("decoder", b), f"adain_{a}{b}": ("mlp", b)})
            with torch.no_grad():
                self.trace.assert_close(way.own.style(turn.source.image), f"step1/D/s_{a}_enc")
            for kind, maps in zip(("fake", "real"), self.calls["D", b], strict=True):
                for scale, scores in enumerate(maps):
                    self.trace.assert_close(scores, f"step1/D/dis_{b}/{kind}/scale{scale}")

    def generator_losses(self, way: Way, turn: Turn) -> Iterator[Losses]:
        self.calls.clear()
        running = super().generator_losses(way, turn)
        losses = next(running)
        a, b = way.source.lower(), way.target.lower()
        if self.step == 1:
            self.compare_loss_gradients(losses)
            same = {f"c_{a}": ("content", a), f"s_{a}_enc": ("style", a), f"x_{a}_recon": ("decoder", a)}
            same |= {f"x_{a}{b}": ("decoder", b), f"c_{a}_recon": ("content", b), f"s_{b}_recon": ("style", b)}
            same |= {f"adain_{a}{a}": ("mlp", a), f"adain_{a}{b}": ("mlp", b)}
            self.same("G", same)
            if self.weights.recon_x_cyc_w:
                self.same("G", {f"x_{a}{b}{a}": ("decoder", a), f"adain_{a}{b}{a}": ("mlp", a)}, call=1)
            for scale, scores in enumerate(self.calls["D", b][0]):
                self.trace.assert_close(scores, f"step1/G/dis_{b}/fake/scale{scale}")
        yield losses
        return (yield from running)

    def same(self, part: str, keys: dict[str, tuple[str, str]], call: int = 0) -> None:
        for key, network in keys.items():
            self.trace.assert_close(self.calls[network][call], f"step1/{part}/{key}")

    def weight(self, kind: str) -> float:
        return getattr(self.weights, f"{LOSSES[kind][1]}_w") if LOSSES[kind][1] else 1.0

    def compare_loss_gradients(self, losses: Losses) -> None:
        groups = []
        for group in self.trace.meta["lossgrad_groups"]:
            net, part = group.split(".")
            domain = self.domains[net[-1].upper()]
            if GROUPS[part] in ("mlp", "decoder"):
                others = [*domain.decoder.blocks.parameters(), *domain.decoder.tail.parameters()]
                groups.append([*domain.decoder.mlp.parameters()] if part == "mlp" else others)
            else:
                groups.append([*getattr(domain, GROUPS[part]).parameters()])
        for name, loss in losses.items():
            kind, letter = name.rsplit("_", 1)
            gradients = iter(torch.autograd.grad(loss.mean(), [*chain(*groups)], retain_graph=True, allow_unused=True))
            norms = []
            for group in groups:
                found = [one for one in (next(gradients) for _ in group) if one is not None]
                norms.append(torch.stack([one.norm() for one in found]).norm() if found else torch.zeros(()))
            of_all = torch.stack(norms) / self.weight(kind)
            self.trace.assert_close(of_all, f"step1/G/lossgrad/{LOSSES[kind][0]}_{letter.lower()}")

    def before_step(self, part: str) -> None:
        weights = parameters(self, self.trace, part)
        self.befores[part] = [weight.detach().clone() for weight in weights]
        self.gradients[part] = [weight.grad.clone() for weight in weights]

    def compare_losses(self, losses: Losses) -> None:
        for name, loss in losses.items():
            kind, letter = name.rsplit("_", 1)
            part = "D" if kind == "D" else "G"
            published = f"step{self.step}/{part}/loss/{LOSSES[kind][0]}_{letter.lower()}"
            self.trace.assert_close(loss / self.weight(kind), published)
        if not self.weights.recon_x_cyc_w:
            for letter in "ab":
                self.trace.assert_close(torch.zeros(()), f"step{self.step}/G/loss/gen_cycrecon_x_{letter}")
        judged = {name for name in losses if name.startswith("D_")}
        for part, names, total in (("D", judged, "dis"), ("G", losses.keys() - judged, "gen")):
            self.trace.assert_close(sum(losses[name] for name in names), f"step{self.step}/{part}/loss/{total}_total")

    def compare_step(self, part: str) -> None:
        start, gradients = f"step{self.step}/{part}/opt", self.gradients[part]
        norms = torch.stack([gradient.norm() for gradient in gradients])
        self.trace.assert_close(norms.norm(), f"{start}/gradnorm")
        if self.step == 2:
            return
        self.trace.assert_close(norms, f"{start}/gradnorm_per_param")
        befores, afters = self.befores[part], parameters(self, self.trace, part)
        self.trace.assert_close(torch.stack([weight.norm() for weight in afters]), f"{start}/weightnorm_per_param")
        moved = [(after - before).norm() for before, after in zip(befores, afters, strict=True)]
        self.trace.assert_close(torch.stack(moved), f"{start}/movenorm_per_param")
        places = self.trace.arrays[f"{start}/sample_index"].tolist()
        sampled = [[one[number].flatten()[at] for one in (gradients, befores, afters)] for number, at in places]
        self.trace.assert_close(torch.stack([*map(torch.stack, sampled)]), f"{start}/sample_grad_before_after")


@torch.no_grad()
def compare_after(trace: FormulaTrace, model: MunitModel) -> None:
    for source, target in ("ab", "ba"):
        made = model.translate(
            InstanceBatch.from_images(trace.given(f"x_{source}")), target, trace.given(f"fwd/s_{target}").flatten(1)
        )
        trace.assert_close(made.image, f"after/x_{source}{target}")


@pytest.mark.parametrize("kernels", [False, True], ids=["plain layers", "kernels"])
@pytest.mark.parametrize("path", traces_of(MUNIT), ids=lambda path: path.stem)
def test_every_array(path, kernels, monkeypatch):
    trace = FormulaTrace(path, slack=3 if kernels else 1)
    model = model_of(trace)
    if kernels:
        accelerate(model.networks)
    compare_forward(trace, model)
    compare_gan_losses(trace, model)
    compare_norms(trace)
    model.__class__ = Watched
    model.play(trace, monkeypatch)
    compare_after(trace, model)
    indices = {key for key in trace.arrays if key.endswith("sample_index")}  # they tell where the samples are
    left = {key for key in trace.arrays if not key.startswith("in/")} - trace.compared - indices
    assert not left
