"""MUNIT: multimodal unsupervised image-to-image translation (Huang, Liu, Belongie, Kautz, ECCV 2018).

A picture x of a domain has a content c = E_c(x), which it shares with the other domain, and a style s = E_s(x). It is
translated by decoding its content with a style z ~ N(0, I) of the other domain, or with the style of an example.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.freezing import frozen
from engine.optimizer import GuardedAdam
from engine.update import Losses, Update
from instagan.flag_types import finite, whole
from instagan.losses import l1, lsgan, over_scales, vanilla
from instagan.networks.blocks import initialise
from instagan.networks.munit import (
    RESIDUAL_BLOCKS,
    ContentEncoder,
    Decoder,
    MultiScaleDiscriminator,
    StyleEncoder,
    smallest_side,
)
from instagan.networks.styled import StyledGenerator
from instagan.networks.vgg import DomainInvariantPerceptual
from instagan.structures.directions import Direction
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.one_way import OneWayTranslator
from models.translation_model import TranslationModel


@dataclass(frozen=True)
class Weights:
    """Of the losses (section 3.2 and equation 5), under their published names. At 0 a term is not computed.

    recon_x_cyc_w: the style-augmented cycle. vgg_w: the domain-invariant perceptual loss, for large pictures.
    """

    gan_w: float = 1.0
    recon_x_w: float = 10.0
    recon_s_w: float = 1.0
    recon_c_w: float = 1.0
    recon_x_cyc_w: float = 0.0
    vgg_w: float = 0.0


@dataclass(frozen=True, eq=False)
class Domain:
    """The networks of one domain: E_c, E_s, the decoder G and the discriminator D."""

    content: ContentEncoder
    style: StyleEncoder
    decoder: Decoder
    D: MultiScaleDiscriminator

    @property
    def generators(self) -> list[nn.Module]:
        """The networks that translating is learnt by."""
        return [self.content, self.style, self.decoder]

    @property
    def discriminators(self) -> list[nn.Module]:
        return [self.D]


@dataclass(frozen=True, eq=False)
class Way:
    """A direction, with the networks of its source and of its target."""

    source: str
    target: str
    own: Domain
    other: Domain


@dataclass(frozen=True, eq=False)
class Turn:
    """x, pictures of the target's domain, and styles z (B, S) of the target, other ones for D's step and for G's."""

    source: InstanceBatch
    real: InstanceBatch
    style_for_d: Tensor
    style_for_g: Tensor


def draw_styles(style_size: int, generators: list[torch.Generator]) -> Tensor:
    """Styles from N(0, I), a row from each generator: (B, S)."""
    return torch.stack([torch.randn(style_size, generator=one) for one in generators])


class MunitModel(TranslationModel):
    """Two domains with networks of their own. A direction's losses look at its source's pictures, and D's at both."""

    architecture = ("n_res", "style_dim", "mlp_dim", "num_scales")
    not_inherited = ("vgg_w", "vgg_weights")
    weights_type = Weights

    def __init__(
        self, A: Domain, B: Domain, weights: Weights, perceptual: DomainInvariantPerceptual | None = None,
        least_squares: bool = True, lr: float = 1e-4, lr_D: float | None = None, beta1: float = 0.5,
        weight_decay: float = 1e-4,
    ) -> None:  # fmt: skip
        super().__init__()
        self.domains, self.networks, self.pools = {"A": A, "B": B}, nn.ModuleDict(), {}
        self.weights, self.perceptual = weights, perceptual
        for letter, domain in self.domains.items():
            self.networks.update({f"{role}_{letter}": network for role, network in vars(domain).items()})
        self.ways = (Way("A", "B", A, B), Way("B", "A", B, A))
        self.gan_loss = lsgan if least_squares else vanilla
        self.discriminators = [*A.discriminators, *B.discriminators]
        decay, lr_D = weight_decay, lr if lr_D is None else lr_D
        self.optimizer_G = GuardedAdam([*A.generators, *B.generators], lr, beta1, weight_decay=decay)
        self.optimizer_D = GuardedAdam(self.discriminators, lr_D, beta1, weight_decay=decay)

    def training_step(self, update: Update) -> None:
        for turns in update.at_once(self.ways, self.turn):
            turns.minimise(self.optimizer_D, self.discriminator_losses)
            with frozen(*self.discriminators):
                turns.minimise(self.optimizer_G, self.generator_losses)

    def turn(self, way: Way, pair: UnpairedBatch, generators: list[torch.Generator]) -> Turn:
        x, real = pair[way.source].slots(0, 0), pair[way.target].slots(0, 0)
        return Turn(x, real, *(draw_styles(way.other.decoder.style_size, generators).to(x.image) for _ in "DG"))

    def discriminator_losses(self, way: Way, turn: Turn) -> Iterator[Losses]:
        D = way.other.D
        with torch.no_grad():
            fake = way.other.decoder(way.own.content(turn.source.image), turn.style_for_d)  # (B, 3, H, W)
        of_fake, of_real = D(InstanceBatch.from_images(fake)), D(turn.real)
        yield {f"D_{way.target}": self.gan(of_fake, real=False) + self.gan(of_real, real=True)}

    def generator_losses(self, way: Way, turn: Turn) -> Iterator[Losses]:
        """Equations 1 to 5. Gradients of the content's reconstruction also reach the content that is reconstructed."""
        own, other, weights, x, z = way.own, way.other, self.weights, turn.source.image, turn.style_for_g
        c, s = own.content(x), own.style(x)  # (B, C, h, w), (B, S)
        same, fake = own.decoder(c, s), other.decoder(c, z)  # (B, 3, H, W)
        c_again, s_again = other.content(fake), other.style(fake)
        y = InstanceBatch.from_images(fake)
        losses = {
            f"recon_x_{way.source}": weights.recon_x_w * l1(same, x),
            f"recon_c_{way.source}": weights.recon_c_w * l1(c_again, c),
            f"recon_s_{way.target}": weights.recon_s_w * l1(s_again, z),
            f"G_{way.target}": weights.gan_w * self.gan(other.D(y), real=True),
        }
        if weights.recon_x_cyc_w:
            losses[f"cyc_{way.source}"] = weights.recon_x_cyc_w * l1(own.decoder(c_again, s), x)
        if self.perceptual is not None:
            losses[f"vgg_{way.source}"] = weights.vgg_w * self.perceptual(fake, x)
        yield losses
        shown = {f"real_{way.source}": turn.source, f"fake_{way.target}": y}
        return {way.source: {**shown, f"rec_{way.source}": InstanceBatch.from_images(same)}}

    def gan(self, of_scales: list[Tensor], real: bool) -> Tensor:
        """(B,): the GAN loss, summed over the discriminator's scales."""
        return over_scales(self.gan_loss, of_scales, real)

    def translators(self) -> Mapping[Direction, OneWayTranslator]:
        return {
            Direction(way.source, way.target): OneWayTranslator(
                StyledGenerator(way.own.content, way.other.style, way.other.decoder), ("style",)
            )
            for way in self.ways
        }

    def optimizers(self) -> dict[str, GuardedAdam]:
        return {"G": self.optimizer_G, "D": self.optimizer_D}

    @staticmethod
    def smallest_side(options: Namespace) -> tuple[int, str]:
        return smallest_side(options.num_scales), f"--num_scales {options.num_scales}"

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        parser.set_defaults(init_type="kaiming")
        if training:
            parser.set_defaults(lr=1e-4, lr_policy="halve")
        flag = parser.add_argument_group("munit").add_argument
        flag("--n_res", type=whole(1), default=RESIDUAL_BLOCKS, help="residual blocks of content encoders and decoders")
        flag("--style_dim", type=whole(1), default=8, help="numbers of a style code")
        flag("--mlp_dim", type=whole(1), default=256, help="width of the network from styles to AdaIN's numbers")
        flag("--num_scales", type=whole(1, 8), default=3, help="scales of D; 3 need images of 61 pixels, 1 of 16")
        flag("--gan_w", type=finite(), default=Weights.gan_w, help="weight of the GAN loss")
        flag("--recon_x_w", type=finite(), default=Weights.recon_x_w, help="weight of the image reconstruction loss")
        flag("--recon_s_w", type=finite(), default=Weights.recon_s_w, help="weight of the style reconstruction loss")
        flag("--recon_c_w", type=finite(), default=Weights.recon_c_w, help="weight of the content reconstruction loss")
        flag("--recon_x_cyc_w", type=finite(), default=Weights.recon_x_cyc_w,
             help="weight of the style-augmented cycle loss; 10 for street scenes")  # fmt: skip
        flag("--vgg_w", type=finite(), default=Weights.vgg_w, help="weight of the domain-invariant perceptual loss")
        flag("--vgg_weights", metavar="FILE", help="torchvision's weights of VGG16 (default: those in torch's cache)")
        flag("--weight_decay", type=finite(), default=1e-4, help="weight decay of Adam")

    @classmethod
    def new_domain(cls, options: Namespace) -> Domain:
        """The networks of one domain, with weights that are drawn."""
        content = ContentEncoder(options.ngf, options.n_res)
        style = StyleEncoder(options.ngf, options.style_dim)
        decoder = Decoder(options.ngf, options.n_res, options.style_dim, options.mlp_dim)
        D = MultiScaleDiscriminator(options.ndf, options.num_scales)
        initialise(nn.ModuleList([content, style, decoder]), options.init_type, options.init_gain)
        initialise(D, "normal", options.init_gain)
        return Domain(content, style, decoder, D)

    @classmethod
    def from_options(cls, options: Namespace) -> MunitModel:
        weights = cls.weights_type(**{name: getattr(options, name) for name in vars(cls.weights_type())})
        file = Path(options.vgg_weights) if options.vgg_weights else None
        perceptual = DomainInvariantPerceptual.of_file(file) if weights.vgg_w else None
        rates = options.lr, options.lr_D, options.beta1, options.weight_decay
        domains = [cls.new_domain(options) for _ in "AB"]
        return cls(*domains, weights, perceptual, not options.no_lsgan, *rates)
