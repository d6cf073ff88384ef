"""DRIT as published: stage by stage, losses, gradients and weights of golden traces, every array of them but one phase.

The published second phase of the generator's update goes back through old features with weights that the first phase
has moved, which is no gradient of anything. What is compared is the same update with the second phase run anew
("rerun"), and with it all that follows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor, nn

from engine.schedule import Progress
from engine.update import Losses, Update
from instagan.kernels import accelerate
from instagan.networks.drit import (
    ContentDiscriminator,
    ContentStem,
    FeatureWiseAttributeEncoder,
    FeatureWiseDecoder,
    SharedLayers,
    content_layers,
    discriminator,
    layer_norm,
)
from instagan.networks.normalisation import InstanceNorm2d
from instagan.structures.instances import InstanceBatch
from models.drit_model import Content, Domain, DritModel, Turn, Weights
from tests.batches import pair_of
from tests.formula_traces import FormulaTrace
from tests.models.test_munit_parity import stages
from tests.traces import DRIT, traces_of

HISTORY = ("step1/G2/", "step2/", "stat/step1/G2/", "stat/step2/")
"""Of the published second phase."""
STEPPED = {
    "D": ("disA", "disA2", "disB", "disB2"),
    "content": ("disContent",),
    "G": ("enc_c", "gen"),
    "attribute": ("enc_a",),
}
"""Our optimizers -> the published networks that they train."""
WEIGHTS = {
    "gan": "gan_w",
    "gan_content": "content_w",
    "cross_cycle": "cycle_w",
    "self_recon": "recon_w",
    "attr_l2": "kl_w",
    "content_l2": "small_w",
    "latent": "latent_w",
    "mode_seeking": "modes_w",
}
"""Published names of the losses' weights -> ours."""


def our_name(network: str, published: str) -> str:
    """Of a parameter: enc_c convA.1.model.1.weight is our stem_A.4.weight."""
    patterns = (
        (r"enc_c conv_share\.0\.model\.(\d)\.(\w+)", lambda f: f"shared.content.0.layers.{f[1]}.{f[2]}"),
        (r"enc_c conv(.)\.([012])\.model\.1\.(\w+)", lambda f: f"stem_{f[1]}.{(1, 4, 8)[int(f[2])]}.{f[3]}"),
        (r"enc_c conv(.)\.(\d)\.model\.(\d)\.(\w+)", lambda f: f"stem_{f[1]}.{8 + int(f[2])}.layers.{f[3]}.{f[4]}"),
        (r"enc_a model_(.)\.(\d+)\.(\w+)", lambda f: f"attribute_{f[1].upper()}.layers.{f[2]}.{f[3]}"),
        (r"gen mlp(.)\.(\d)\.(\w+)", lambda f: f"decoder_{f[1]}.mlp.{f[2]}.{f[3]}"),
        (
            r"gen dec(.)([1-4])\.conv([12])\.0\.1\.(\w+)",
            lambda f: f"decoder_{f[1]}.blocks.{int(f[2]) - 1}.{('first', 'second')[int(f[3]) - 1]}.1.{f[4]}",
        ),
        (
            r"gen dec(.)([1-4])\.blk([12])\.(\d)\.(\w+)",
            lambda f: f"decoder_{f[1]}.blocks.{int(f[2]) - 1}.{('first', 'second')[int(f[3]) - 1]}_mix.{f[4]}.{f[5]}",
        ),
        (
            r"gen dec(.)5\.([01])\.model\.([01])\.(\w+)",
            lambda f: f"decoder_{f[1]}.tail.{3 * int(f[2]) + int(f[3])}.{f[4]}",
        ),
        (r"gen dec(.)5\.2\.(\w+)", lambda f: f"decoder_{f[1]}.tail.6.{f[2]}"),
        (r"disContent model\.(\d)\.model\.1\.(\w+)", lambda f: f"D_content.layers.{(1, 4, 7, 9)[int(f[1])]}.{f[2]}"),
        (r"disContent model\.4\.(\w+)", lambda f: f"D_content.layers.11.{f[1]}"),
        (
            r"dis(.)(2?) Diss\.(\d)\.(\d)\.(?:model\.1\.)?(\w+)",
            lambda f: f"D_{'random_' * bool(f[2])}{f[1]}.scales.{f[3]}.{min(3 * int(f[4]) + 1, 12)}.{f[5]}",
        ),
    )
    (ours, *_) = (say(found) for pattern, say in patterns if (found := re.fullmatch(pattern, f"{network} {published}")))
    return ours


def published_loss(ours: str) -> str:
    if ours == "D_content":
        return "disContent_loss"
    kind, letter = ours.rsplit("_", 1)
    small = letter.lower()
    return {
        "D": f"dis{letter}_loss",
        "D_random": f"dis{letter}2_loss",
        "G": f"gan_loss_{small}",
        "G_content": f"gan_loss_{small}content",
        "recon": f"l1_recon_{letter}{letter}_loss",
        "cyc": f"l1_recon_{letter}_loss",
        "kl": f"kl_loss_za_{small}",
        "small": f"kl_loss_zc_{small}",
        "G_random": f"gan2_loss_{small}",
        "latent": f"l1_recon_z_loss_{small}",
        "modes": {"A": "lz_BA", "B": "lz_AB"}[letter],
    }[kind]


def model_of(trace: FormulaTrace) -> DritModel:
    size, hyper = trace.meta["cfg"], trace.meta["hyper"]
    width, style = size["width"], hyper["nz"]
    scales = len({name.split(".")[1] for _, name in trace.names("disA")})
    domains = [
        Domain(
            ContentStem(width),
            FeatureWiseAttributeEncoder(width, style),
            FeatureWiseDecoder(width, style),
            discriminator(width, scales),
            discriminator(width, scales),
        )
        for _ in "AB"
    ]
    D_content = ContentDiscriminator(width, content_layers(min(size["H"], size["W"])))
    weights = Weights(**{WEIGHTS[name]: value for name, value in hyper["weights"].items()})
    model = DritModel(*domains, SharedLayers(width, concat=False), D_content, weights, hyper["d_iter"])
    names = set()
    for (network, name), weight in trace.weights.items():
        ours = our_name(network, name)
        names.add(ours)
        with torch.no_grad():
            parameter = model.networks.get_parameter(ours)
            parameter.copy_(weight.reshape(parameter.shape))
    assert names == {name for name, _ in model.networks.named_parameters()}
    return model


def given_images(trace: FormulaTrace) -> dict[str, Tensor]:
    """The images that are encoded: the first of each domain."""
    return {letter: trace.given(f"x_{letter.lower()}")[:1] for letter in "AB"}


@torch.no_grad()
def compare_forward(trace: FormulaTrace, model: DritModel) -> None:
    images, contents = given_images(trace), {}
    for letter, x in images.items():
        domain = model.domains[letter]
        stem = list(stages(domain.stem, x))
        for name, place in (("conv0", 2), ("conv1", 6), ("conv2", 10), ("res0", 11), ("res1", 12), ("res2", 13)):
            trace.assert_close(stem[place], f"fwd/content_{letter}/{name}")
        contents[letter] = model.shared.content(domain.stem(x))
        trace.assert_close(contents[letter], f"fwd/content_{letter}/out")
        attribute = list(stages(domain.attribute.layers, x))
        for number in range(5):
            trace.assert_close(attribute[3 * number + 2], f"fwd/attr_{letter}/conv{number}")
        trace.assert_close(attribute[15], f"fwd/attr_{letter}/pool")
        trace.assert_close(domain.attribute(x), f"fwd/attr_{letter}/out")
        seen = x
        for scale, layers in enumerate(domain.D.scales):
            seen = domain.D.halved(seen) if scale else seen
            of_scale = list(stages(layers, seen))
            for number, place in enumerate((2, 5, 8, 11, 12)):
                trace.assert_close(of_scale[place], f"fwd/dis{letter}/scale{scale}/conv{number}")
    for letter, other in ("AB", "BA"):
        compare_decoder(trace, model.domains[letter].decoder, contents[other], letter)
        made = model.translate(InstanceBatch.from_images(images[other]), letter, trace.given(f"fwd/z_{letter.lower()}"))
        trace.assert_close(made.image, f"fwd/gen_{letter}/image")
    of_content = list(stages(model.D_content.layers, contents["A"]))
    for number, place in enumerate((2, 5, 8, 10, 11)):
        trace.assert_close(of_content[place], f"fwd/disContent/conv{number}")


def compare_decoder(trace: FormulaTrace, decoder: FeatureWiseDecoder, content: Tensor, letter: str) -> None:
    start, x = f"fwd/gen_{letter}", content
    vectors = decoder.mlp(trace.given(f"fwd/z_{letter.lower()}"))
    trace.assert_close(vectors, f"{start}/mlp")
    for number, (block, vector) in enumerate(zip(decoder.blocks, vectors.chunk(4, 1), strict=True), start=1):
        if number == 1:
            everywhere = vector[:, :, None, None].expand_as(x)
            first = block.first(x)
            mixing = list(stages(block.first_mix, torch.cat([first, everywhere], 1)))
            second = block.second(mixing[-1])
            mixed = block.second_mix(torch.cat([second, everywhere], 1))
            same = {"conv1_in": first, "blk1_first1x1": mixing[0], "blk1": mixing[-1], "conv2_in": second}
            for name, made in {**same, "blk2_beforesum": mixed}.items():
                trace.assert_close(made, f"{start}/block1/{name}")
        x = block(x, vector)
        trace.assert_close(x, f"{start}/block{number}")
    tail = list(stages(decoder.tail, x))
    for place, name in ((0, "up0/convT"), (1, "up0/ln"), (2, "up0"), (5, "up1"), (7, "image")):
        trace.assert_close(tail[place], f"{start}/{name}")


@torch.no_grad()
def compare_norms(trace: FormulaTrace) -> None:
    """Small arrays of low contrast, in which the place of eps and the kind of variance show."""
    x, gain, shift = (trace.given(f"unit/{name}") for name in ("x", "gain", "shift"))
    norm = layer_norm(x.shape[1]).to(x.dtype)
    norm.weight.copy_(gain[0])
    norm.bias.copy_(shift[0])
    trace.assert_close(norm(x), "unit/layernorm")
    trace.assert_close(InstanceNorm2d(x.shape[1])(x), "unit/instancenorm")


class Watched(DritModel):
    """Plays the recorded noise and attributes, and compares what its networks give and its losses' gradients."""

    trace: FormulaTrace
    where = ""
    """What begins the names of the arrays of this update."""

    def play(self, trace: FormulaTrace) -> None:
        self.trace, self.calls = trace, defaultdict(list)
        self.befores: dict[str, list[Tensor]] = {}
        self.gradients: dict[str, list[Tensor]] = {}
        self.norms: dict[str, Tensor] = {}
        for letter, domain in self.domains.items():
            self.record(domain.D, f"D_{letter}")
            self.record(domain.D_random, f"D_random_{letter}")
            self.record(domain.attribute, f"mean_{letter}")
            self.record(domain.decoder.mlp, f"mlp_{letter}")
            for number, block in enumerate(domain.decoder.blocks, start=1):
                self.record(block, f"block{number}_{letter}")
            domain.D_random.register_forward_pre_hook(self.other_real)
        self.record(self.D_content, "D_content")
        for name, optimizer in self.optimizers().items():
            optimizer.register_step_pre_hook(lambda *_, name=name: self.before_step(name))
            optimizer.register_step_post_hook(lambda *_, name=name: self.after_step(name))
        images = [InstanceBatch.from_images(image) for image in given_images(trace).values()]
        for self.where, steps in (("content1", 0), ("content2", 1), ("step1", 2), ("step2", 5)):
            update = Update([pair_of(*images)], progress=Progress(steps=steps))
            self.training_step(update)
            self.compare_losses(update.losses())

    def record(self, network: nn.Module, name: str) -> None:
        network.register_forward_hook(lambda _, __, made: self.calls[name].append(made))

    def other_real(self, network: nn.Module, given: tuple[InstanceBatch]) -> InstanceBatch | None:
        """What the judges of random translations are shown as real: the second image of the published batch."""
        for letter, image in given_images(self.trace).items():
            if torch.equal(given[0].image, image):
                return InstanceBatch.from_images(self.trace.given(f"x_{letter.lower()}")[1:])
        return None

    def turn(self, way, pair, generators) -> Turn:
        def given(name: str) -> Tensor:
            return self.trace.given(f"{self.where}/{name}")

        turn = super().turn(way, pair, generators)
        played = {"noise": {letter: given(f"noise_{letter.lower()}") for letter in "AB"}}
        if self.where.startswith("step"):
            played["noise_again"] = {"A": given("noise_fake_b"), "B": given("noise_fake_a")}
            played |= {"z": given("z1"), "z_other": given("z2")}
        for name, values in played.items():
            drawn = getattr(turn, name)
            pairs = [(values[one], drawn[one]) for one in "AB"] if isinstance(values, dict) else [(values, drawn)]
            assert all(one.shape == other.shape for one, other in pairs)
        return Turn(**{**vars(turn), **played})

    def content(self, letter: str, image: Tensor, noise: Tensor, scene: InstanceBatch) -> Content:
        made = super().content(letter, image, noise, scene)
        self.calls[f"content_{letter}"].append(made.features)
        return made

    def attribute(self, letter: str, image: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        self.calls[f"attribute_{letter}"].append(super().attribute(letter, image, spread))
        return self.calls[f"attribute_{letter}"][-1]

    def decode(self, letter: str, content: Content, attribute: Tensor) -> Tensor:
        self.calls[f"image_{letter}"].append(super().decode(letter, content, attribute))
        return self.calls[f"image_{letter}"][-1]

    def same(self, calls: Sequence[Tensor], *keys: str) -> None:
        assert len(calls) == len(keys), keys
        for made, key in zip(calls, keys, strict=True):
            self.trace.assert_close(made, key)

    def content_losses(self, way, turn: Turn) -> Iterator[Losses]:
        self.calls.clear()
        yield from super().content_losses(way, turn)
        if self.where in ("content1", "step1"):
            self.same([self.calls[f"content_{one}"][0] for one in "AB"], *(f"{self.where}/c_{one}" for one in "ab"))
        if self.where != "step2":
            start = f"{self.where}/D/disContent" if self.where == "step1" else self.where
            self.same(self.calls["D_content"], f"{start}/score_a", f"{start}/score_b")

    def discriminator_losses(self, way, turn: Turn) -> Iterator[Losses]:
        self.calls.clear()
        running = super().discriminator_losses(way, turn)
        for letter in "AB":
            yield next(running)
            yield next(running)
            if self.where == "step1":
                self.compare_judged(letter)
        self.of_drawn = {name: list(made) for name, made in self.calls.items()}
        yield from running

    def compare_judged(self, letter: str) -> None:
        kinds = ("fake", "rand", "rand2")
        self.same(self.calls[f"image_{letter}"], *(f"step1/{kind}_{letter}" for kind in kinds))
        with torch.no_grad():
            of_rand = self.domains[letter].attribute.distribution(self.calls[f"image_{letter}"][1])[0]
        self.trace.assert_close(of_rand, f"step1/attr_rand_{letter.lower()}")
        start = f"step1/D/dis{letter}"
        of_drawn = self.calls[f"D_random_{letter}"]
        of_encoded = self.calls[f"D_{letter}"]
        judged = {f"{start}/{kind}": maps for kind, maps in zip(("real", "fake"), of_encoded, strict=True)}
        judged |= {f"{start}2/{kind}": maps for kind, maps in zip(("rand", "rand2", "real"), of_drawn, strict=True)}
        for key, maps in {**judged, f"{start}2/real_again": of_drawn[2]}.items():
            self.same(maps, *(f"{key}/scale{scale}" for scale in range(len(maps))))

    def encoded_losses(self, way, turn: Turn) -> Iterator[Losses]:
        self.calls.clear()
        running = super().encoded_losses(way, turn)
        losses = next(running)
        if self.where == "step1":
            self.compare_loss_gradients(losses, "step1/G1")
            self.compare_encoded()
        yield losses
        return (yield from running)

    def compare_encoded(self) -> None:
        for letter, other in ("AB", "BA"):
            small, calls = letter.lower(), self.calls
            self.same(calls[f"content_{letter}"], f"step1/c_{small}", f"step1/c_recon_{other.lower()}")
            codes = [code for code, _ in calls[f"attribute_{letter}"]]
            self.same(codes, f"step1/attr_{small}", f"step1/attr_recon_{small}")
            self.same(calls[f"image_{letter}"], *(f"step1/{kind}_{letter}" for kind in ("fake", "self", "cyc")))
            for name, key in {"mlp": "mlp", **{f"block{n}": f"dec{{}}{n}" for n in range(1, 5)}}.items():
                key = f"step1/gen/{key.format(letter) if '{}' in key else key + letter}"
                fake, same, cycled = calls[f"{name}_{letter}"]
                self.trace.assert_close(torch.cat([fake, same, *self.of_drawn[f"{name}_{letter}"][1:]]), f"{key}/first")
                self.trace.assert_close(cycled, f"{key}/cycle")
            (maps,) = calls[f"D_{letter}"]
            self.same(maps, *(f"step1/G1/dis{letter}/scale{scale}" for scale in range(len(maps))))
        self.same(self.calls["D_content"], "step1/G1/disContent/score_a", "step1/G1/disContent/score_b")

    def random_losses(self, way, turn: Turn) -> Iterator[Losses]:
        if self.where == "step1":
            encoders = nn.ModuleList(self.attributes)
            assert not any(weight.requires_grad for weight in encoders.parameters())
            encoders.requires_grad_(True)  # the traces tell what gradient they would have
            self.compare_loss_gradients(next(super().random_losses(way, turn)), "rerun/step1/G2")
            encoders.requires_grad_(False)
        self.calls.clear()
        yield from super().random_losses(way, turn)
        if self.where == "step1":
            for letter in "AB":
                self.trace.assert_close(self.calls[f"image_{letter}"][0], f"rerun/step1/G2/rand_{letter}")
                self.trace.assert_close(self.calls[f"mean_{letter}"][0], f"rerun/step1/G2/attr_rand_{letter.lower()}")

    def compare_loss_gradients(self, losses: Losses, start: str) -> None:
        groups = [self.parameters_of(net) for net in self.trace.meta["lossgrad_groups"]]
        every = [weight for group in groups for weight in group]
        for name, loss in losses.items():
            gradients = iter(torch.autograd.grad(loss.mean(), every, retain_graph=True, allow_unused=True))
            norms = []
            for group in groups:
                found = [one for one in (next(gradients) for _ in group) if one is not None]
                norms.append(torch.stack([one.norm() for one in found]).norm() if found else torch.zeros(()))
            self.trace.assert_close(torch.stack(norms), f"{start}/lossgrad/{published_loss(name)}")

    def parameters_of(self, net: str) -> list[Tensor]:
        return [self.networks.get_parameter(our_name(*name)) for name in self.trace.names(net)]

    def before_step(self, optimizer: str) -> None:
        for net in STEPPED[optimizer]:
            weights = self.parameters_of(net)
            self.befores[net] = [weight.detach().clone() for weight in weights]
            self.norms[net] = torch.stack([weight.grad.norm() for weight in weights]).norm()

    def after_step(self, optimizer: str) -> None:
        """Which phase it was shows in what is being minimised."""
        part = "D/" if optimizer in ("D", "content") and self.where.startswith("step") else ""
        if optimizer in ("G", "attribute"):
            part = "G1/" if any(name.startswith("attribute_") for name in self.calls) else "G2/"
        start = f"{self.where}/{part}opt"
        if part == "G2/" or self.where == "step2":
            start = f"rerun/{start}"
        if optimizer == "content":
            self.trace.assert_close(self.norms["disContent"], f"{start}/disContent/norm_before_clip")
        for net in STEPPED[optimizer]:
            self.compare_step(net, f"{start}/{net}")

    def compare_step(self, net: str, start: str) -> None:
        afters, befores = self.parameters_of(net), self.befores[net]
        gradients = [weight.grad for weight in afters]
        norms = torch.stack([gradient.norm() for gradient in gradients])
        self.trace.assert_close(norms.norm(), f"{start}/gradnorm")
        if self.where == "step2":
            return
        self.trace.assert_close(norms, f"{start}/gradnorm_per_param")
        self.trace.assert_close(torch.stack([weight.norm() for weight in afters]), f"{start}/weightnorm_per_param")
        moved = [(after - before).norm() for before, after in zip(befores, afters, strict=True)]
        self.trace.assert_close(torch.stack(moved), f"{start}/movenorm_per_param")
        places = self.trace.arrays[f"{start}/sample_index"].tolist()
        sampled = [[one[number].flatten()[at] for one in (gradients, befores, afters)] for number, at in places]
        self.trace.assert_close(torch.stack([*map(torch.stack, sampled)]), f"{start}/sample_grad_before_after")

    def compare_losses(self, losses: Losses) -> None:
        parts: dict[str, list[Tensor]] = defaultdict(list)
        for name, loss in losses.items():
            part = "D" if name.startswith("D_") else "G2" if name.startswith(("G_random", "latent", "modes")) else "G1"
            parts[part].append(loss)
            start = f"{self.where}/{part}" if self.where.startswith("step") else self.where
            start = f"rerun/{start}" if part == "G2" or self.where == "step2" else start
            self.trace.assert_close(loss, f"{start}/loss/{published_loss(name)}")
        if parts["G1"]:
            start = "rerun/step2" if self.where == "step2" else self.where
            self.trace.assert_close(torch.stack(parts["G1"]).sum(), f"{start}/G1/loss/G_loss")


@pytest.mark.parametrize("kernels", [False, True], ids=["plain layers in float64", "kernels"])
@pytest.mark.parametrize("path", traces_of(DRIT), ids=lambda path: path.stem)
def test_every_array(path, kernels):
    trace = FormulaTrace(path, gaps=4, slack=3) if kernels else FormulaTrace(path, torch.float64)
    model = model_of(trace).to(trace.dtype)
    if kernels:
        accelerate(model.networks)
    compare_forward(trace, model)
    compare_norms(trace)
    model.__class__ = Watched
    model.play(trace)
    indices = {key for key in trace.arrays if key.endswith("sample_index")}  # they tell where the samples are
    told = {key for key in trace.arrays if not key.startswith(("in/", *HISTORY))}
    assert not told - trace.compared - indices
