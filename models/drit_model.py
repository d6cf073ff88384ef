"""DRIT++: diverse image-to-image translation via disentangled representations (Lee, Tseng, Huang, Singh, Yang, ECCV
2018; Lee, Tseng, Mao, Huang, Lu, Singh, Yang, IJCV 2020).

An image has a content, which a discriminator cannot tell from the other domain's, and an attribute of a few numbers. It
is translated by decoding its content with an attribute of the other domain: that of an example, or a drawn one.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.freezing import frozen
from engine.optimizer import GuardedAdam
from engine.update import Losses, SimultaneousTurns
from instagan.flag_types import whole
from instagan.losses import kl_to_normal, l1, mode_seeking, vanilla
from instagan.networks import drit
from instagan.networks.blocks import initialise
from instagan.networks.styled import AttributeGenerator
from instagan.structures.directions import Direction
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.one_way import OneWayTranslator
from models.shared_content_model import OTHER, SharedContentModel, add_shared_options, described, drawn, gan, weight


@dataclass(frozen=True)
class Weights:
    """Of the losses (DRIT++, equation 8). At 0 mode seeking is not computed."""

    gan_w: float = weight(1.0, "the GAN losses of images")
    content_w: float = weight(1.0, "the GAN loss of contents")
    cycle_w: float = weight(10.0, "the cross-cycle loss")
    recon_w: float = weight(10.0, "the reconstruction loss")
    kl_w: float = weight(0.01, "attributes' distance to N(0, I)")
    small_w: float = weight(0.01, "contents' mean square")
    latent_w: float = weight(10.0, "the attribute reconstruction loss")
    modes_w: float = weight(1.0, "mode seeking; 0 leaves it out")
    modes_eps: float = described(1e-5, "added to the distance that mode seeking divides by: its gradient is at most "
                                 "modes_w / modes_eps^2; larger where attributes hardly show at first")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Domain:
    """The networks of one domain. D judges translations with encoded attributes, D_random those with drawn ones."""

    stem: drit.ContentStem
    attribute: drit.AttributeEncoder
    decoder: drit.ConcatDecoder | drit.FeatureWiseDecoder
    D: nn.Module
    D_random: nn.Module


@dataclass(frozen=True, eq=False)
class Content:
    """What is decoded: features (B, C, h, w) of scenes. A method that builds on this one may know more of them."""

    features: Tensor


@dataclass(frozen=True, eq=False)
class Turn:
    """Images of both domains (B, 3, H, W), and all that is drawn for them.

    scenes                the batches that the images are from
    noise, noise_again    on contents (B, C, h, w) of images, and of their translations
    spread, spread_again  of attributes (B, S) around their means: those of images, and of translations into a domain
    z, z_other            two attributes (B, S), which both domains take
    """

    source: InstanceBatch
    scenes: Mapping[str, InstanceBatch]
    images: Mapping[str, Tensor]
    noise: Mapping[str, Tensor]
    noise_again: Mapping[str, Tensor]
    spread: Mapping[str, Tensor]
    spread_again: Mapping[str, Tensor]
    z: Tensor
    z_other: Tensor


class DritModel(SharedContentModel):
    """Both domains are learnt together: a row is an image of each, and every image is translated both with the other
    one's attribute and with drawn ones."""

    architecture = ("concat", "style_dim", *SharedContentModel.architecture)
    weights_type = Weights

    def __init__(
        self, A: Domain, B: Domain, shared: drit.SharedLayers, D_content: drit.ContentDiscriminator, weights: Weights,
        d_iter: int = 3, lr: float = 1e-4, lr_D: float | None = None, beta1: float = 0.5, weight_decay: float = 1e-4,
    ) -> None:  # fmt: skip
        lr_D, rates = lr if lr_D is None else lr_D, {"beta1": beta1, "weight_decay": weight_decay}
        super().__init__(D_content, d_iter, lr_D, **rates)
        self.domains, self.networks, self.pools = {"A": A, "B": B}, nn.ModuleDict(), {}
        self.shared, self.weights = shared, weights
        for letter, domain in self.domains.items():
            self.networks.update({f"{role}_{letter}": network for role, network in vars(domain).items()})
        self.networks.update({"shared": shared, "D_content": D_content})
        self.attributes: list[nn.Module] = [A.attribute, B.attribute]
        self.judges = [A.D, B.D, A.D_random, B.D_random]
        self.optimizer_G = GuardedAdam([shared, A.stem, B.stem, A.decoder, B.decoder], lr, **rates)
        self.optimizer_attribute = GuardedAdam(self.attributes, lr, **rates)
        self.optimizer_D = GuardedAdam(self.judges, lr_D, **rates)

    def train_all(self, turns: SimultaneousTurns) -> None:
        turns.minimise([self.optimizer_D, self.optimizer_content], self.discriminator_losses)
        with frozen(*self.judges, self.D_content):
            turns.minimise([self.optimizer_G, self.optimizer_attribute], self.encoded_losses)
            with frozen(*self.attributes):
                turns.minimise(self.optimizer_G, self.random_losses)

    def turn(self, way: Direction, pair: UnpairedBatch, generators: list[torch.Generator]) -> Turn:
        scenes = {letter: pair[letter].slots(0, 0) for letter in OTHER}
        images = {letter: scene.image for letter, scene in scenes.items()}

        def of_contents() -> dict[str, Tensor]:
            sizes = {letter: [side // drit.STRIDE for side in image.shape[2:]] for letter, image in images.items()}
            channels = self.shared.channels
            return {letter: drawn(generators, channels, *size).to(images[letter]) for letter, size in sizes.items()}

        def of_attributes() -> dict[str, Tensor]:
            size = self.domains["A"].decoder.style_size
            return {letter: drawn(generators, size).to(images[letter]) for letter in OTHER}

        of_images = of_contents(), of_contents(), of_attributes(), of_attributes()
        return Turn(scenes["A"], scenes, images, *of_images, *of_attributes().values())

    def content(self, letter: str, image: Tensor, noise: Tensor, scene: InstanceBatch) -> Content:
        """The content of a domain's images (B, 3, H, W), which are a scene or its translation. While training it is
        noisy wherever it is used."""
        return Content(self.shared.content(self.domains[letter].stem(image)) + noise)

    def contents(self, turn: Turn) -> dict[str, Content]:
        scenes, noise = turn.scenes, turn.noise
        return {letter: self.content(letter, turn.images[letter], noise[letter], scenes[letter]) for letter in OTHER}

    def attribute(self, letter: str, image: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
        """Attributes (B, S), drawn around their means, and how far they are from N(0, I), (B,)."""
        mean, log_variance = self.domains[letter].attribute.distribution(image)  # (B, S) each
        if log_variance is None:
            return mean, mean.square().mean(1)
        return mean + (log_variance / 2).exp() * spread, kl_to_normal(mean, log_variance)

    def decode(self, letter: str, content: Content, attribute: Tensor) -> Tensor:
        """Images (B, 3, H, W) of a domain."""
        return self.domains[letter].decoder(self.shared.decoder(content.features), attribute)

    def content_losses(self, way: Direction, turn: Turn) -> Iterator[Losses]:
        with torch.no_grad():
            content = self.contents(turn)
        of_A, of_B = (self.D_content(content[letter].features) for letter in OTHER)
        yield {"D_content": vanilla(of_A, 0) + vanilla(of_B, 1)}

    def discriminator_losses(self, way: Direction, turn: Turn) -> Iterator[Losses]:
        with torch.no_grad():
            content = self.contents(turn)
        for letter, domain in self.domains.items():
            image, of_other = turn.images[letter], content[OTHER[letter]]
            with torch.no_grad():
                code, _ = self.attribute(letter, image, turn.spread[letter])
                fake, *random = (self.decode(letter, of_other, one) for one in (code, turn.z, turn.z_other))
            yield {f"D_{letter}": gan(domain.D, image, True) + gan(domain.D, fake, False)}
            of_drawn = gan(domain.D_random, random[0], False) + gan(domain.D_random, random[1], False)
            yield {f"D_random_{letter}": 2 * gan(domain.D_random, image, True) + of_drawn}
        yield from self.content_losses(way, turn)

    def encoded_losses(self, way: Direction, turn: Turn) -> Iterator[Losses]:
        """Translations with the attribute of the other domain's image, which are translated back: first phase."""
        weights, losses, shown = self.weights, Losses(), {}
        content, fakes = self.contents(turn), {}
        for letter, image in turn.images.items():
            code, far = self.attribute(letter, image, turn.spread[letter])
            fakes[letter], same = (self.decode(letter, content[of], code) for of in (OTHER[letter], letter))
            losses |= {
                f"G_{letter}": weights.gan_w * gan(self.domains[letter].D, fakes[letter], True),
                f"G_content_{letter}": weights.content_w * vanilla(self.D_content(content[letter].features), 0.5),
                f"recon_{letter}": weights.recon_w * l1(same, image),
                f"kl_{letter}": weights.kl_w * far,
                f"small_{letter}": weights.small_w * content[letter].features.square().mean((1, 2, 3)),
            }
        for letter, image in turn.images.items():
            again = self.content(OTHER[letter], fakes[OTHER[letter]], turn.noise_again[letter], turn.scenes[letter])
            code, _ = self.attribute(letter, fakes[letter], turn.spread_again[letter])
            back = self.decode(letter, again, code)
            losses[f"cyc_{letter}"] = weights.cycle_w * l1(back, image)
            named = {f"real_{letter}": image, f"fake_{OTHER[letter]}": fakes[OTHER[letter]], f"rec_{letter}": back}
            shown[letter] = {name: InstanceBatch.from_images(made) for name, made in named.items()}
        yield losses
        return shown

    def random_losses(self, way: Direction, turn: Turn) -> Iterator[Losses]:
        """Translations with drawn attributes: second phase, with the weights that the first one has stepped."""
        weights, losses, content = self.weights, Losses(), self.contents(turn)
        for letter, domain in self.domains.items():
            one, other = (self.decode(letter, content[OTHER[letter]], z) for z in (turn.z, turn.z_other))
            of_drawn = gan(domain.D_random, one, True) + gan(domain.D_random, other, True)
            losses |= {
                f"G_random_{letter}": weights.gan_w * of_drawn,
                f"latent_{letter}": weights.latent_w * l1(domain.attribute(one), turn.z),
            }
            if weights.modes_w:  # mode seeking: attributes that differ give images that differ
                seeking = mode_seeking(one, other, turn.z, turn.z_other, weights.modes_eps)
                losses[f"modes_{letter}"] = weights.modes_w * seeking
        yield losses

    def translators(self) -> Mapping[Direction, OneWayTranslator]:
        def generator(own: Domain, other: Domain) -> AttributeGenerator:
            return AttributeGenerator(own.stem, self.shared, other.attribute, other.decoder)

        of = self.domains
        return {way: OneWayTranslator(generator(of[way.source], of[way.target]), ("style",)) for way in self.directions}

    def optimizers(self) -> dict[str, GuardedAdam]:
        own = {"attribute": self.optimizer_attribute, "content": self.optimizer_content}
        return {"G": self.optimizer_G, "D": self.optimizer_D, **own}

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        flag = add_shared_options(parser, training, "drit", Weights).add_argument
        flag("--concat", type=whole(0, 1), default=1, help="1: attributes are channels beside the features, for looks "
             "alone; 0: layers mix features with them (feature-wise), for shapes that change, too")  # fmt: skip
        flag("--style_dim", type=whole(1), default=8, help="numbers of an attribute")

    @classmethod
    def new_domain(cls, options: Namespace) -> Domain:
        """The networks of one domain, with weights that are drawn."""
        sizes, judge = (options.ngf, options.style_dim), (options.ndf, options.dis_scale, options.dis_norm)
        encoder, decoder = drit.MODES[bool(options.concat)]
        judges = (drit.discriminator(*judge) for _ in range(2))
        return Domain(drit.ContentStem(options.ngf), encoder(*sizes), decoder(*sizes, options.upsample), *judges)

    @classmethod
    def from_options(cls, options: Namespace) -> DritModel:
        domains = [cls.new_domain(options) for _ in OTHER]
        shared = drit.SharedLayers(options.ngf, bool(options.concat))
        D_content = drit.ContentDiscriminator(options.ngf, options.content_layers, options.dis_norm)
        rates = options.lr, options.lr_D, options.beta1, options.weight_decay
        model = cls(*domains, shared, D_content, cls.weights_of(options), options.d_iter, *rates)
        initialise(model.networks, options.init_type, options.init_gain, linear=False)
        return model
