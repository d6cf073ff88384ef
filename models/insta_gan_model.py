"""InstaGAN (Mo, Cho, Shin: Instance-aware Image-to-Image Translation, ICLR 2019).

G: X -> Y and F: Y -> X translate a picture x together with its instance masks a; D judges domain Y. Everything is
written for one direction and played in both. (x_m, a_m) is what mini-batch m translates, (y_m, b_m) what G makes of it.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, _ArgumentGroup
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from engine.freezing import frozen
from engine.update import Losses, Update
from instagan.flag_types import finite, whole
from instagan.losses import context_l1, set_l1
from instagan.networks.blocks import RESIDUAL_BLOCKS, RGB
from instagan.networks.discriminators import SetDiscriminator
from instagan.networks.generators import SetGenerator
from instagan.structures.attributes import ATTRIBUTES, MASKS, needs_of, planes_of
from instagan.structures.calls import each
from instagan.structures.directions import Direction
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.one_way import SET_ORDERS, OneWayTranslator, taken
from instagan.structures.sequential import MiniBatch, OneMiniBatch, SequentialMiniBatches
from models.two_way_model import (
    TwoWayModel,
    Way,
    add_upsample,
    add_weights,
    are_unequal,
    channels_of,
    drop_comparisons,
    initialise_all,
    two_way_arguments,
    unequal,
)

ATTRIBUTE_FLAGS = ("attribute", "attribute_channels")


class InstaGanModel(TwoWayModel):
    """Set generators and set discriminators, trained a few instances at a time."""

    architecture = ("netG_blocks", "upsample", *ATTRIBUTE_FLAGS)
    channels = "any"
    not_inherited = ("ins_max",)

    def __init__(
        self,
        generators: dict[str, nn.Module],
        discriminators: dict[str, nn.Module],
        *,
        ins_max: int | None = 4,
        ins_per: int | None = 2,
        set_order: str = "decreasing",
        lambda_earlier: float = 1.0,
        attribute: str = MASKS,
        lambdas: dict[str, float] | None = None,
        **two_way: Any,
    ) -> None:
        """ins_max: most instances of a picture that are taken (None: all); ins_per: how many at a time (None: all at
        once, as it must be where a generator cannot take what it gives, which has other channels). attribute: what a
        is, out of ``ATTRIBUTES``.

        lambdas: weights "A", "B" (cycle, by source domain), "idt", "ctx" (relative to those); paper: 10, 10, 1, 1.
        """
        paper = {"A": 10.0, "B": 10.0, "idt": 1.0, "ctx": 1.0}
        super().__init__(generators, discriminators, lambdas=paper | (lambdas or {}), **two_way)
        self.ins_max, self.ins_per, self.set_order = ins_max, ins_per, set_order
        self.lambda_earlier, self.attribute = lambda_earlier, attribute

    def training_step(self, update: Update) -> None:
        """Section 2.3: a few instances at a time; G, then D, is stepped after each mini-batch."""
        for way in self.ways if update.pairs else ():  # a picture without instances is shown as it is
            x = self.chosen(update.pairs[0][way.source])
            update.show(way.source, way.pictures(x, x, x))
        for turns in update.in_lockstep(self.ways, self.turns):
            with frozen(*self.discriminators):
                turns.minimise(self.optimizer_G, self.generator_losses)
            turns.show_pools(self.pools)
            turns.minimise(self.optimizer_D, self.discriminator_losses)

    def turns(self, way: Way, pair: UnpairedBatch) -> SequentialMiniBatches | OneMiniBatch:
        x, y = self.chosen(pair[way.source]), self.chosen(pair[way.target])
        if self.ins_per is None:
            return OneMiniBatch(way.G, x, real=y)
        return SequentialMiniBatches(way.G, x, self.ins_per, real=y)

    def generator_losses(self, way: Way, turn: MiniBatch) -> Iterator[Losses]:
        """Section 2.2: L_LSGAN + L_cyc + L_ctx, then L_idt, which is a graph of its own."""
        x, y = turn.source, turn.translated  # (x_m, a_m), (y_m, b_m)
        of_F = each(way.F, y, x) if way.lambda_idt else each(way.F, y)
        reconstructed = next(of_F)
        losses = {
            f"G_{way.source}": self.gan_loss(way.D(turn.aggregate), real=True),
            f"cyc_{way.source}": way.lambda_cyc * set_l1(reconstructed, x),
        }
        if way.lambda_ctx:
            losses[f"ctx_{way.source}"] = way.lambda_ctx * context_l1(x, y, self.importance(turn))
        yield losses
        if way.lambda_idt:
            yield {f"idt_{way.target}": way.lambda_idt * set_l1(next(of_F), x)}
        pictures = {f"fake_{way.target}": turn.result}
        if turn.start == 0:
            pictures[f"rec_{way.source}"] = turn.within_whole(reconstructed)
        return {way.source: pictures}

    def discriminator_losses(self, way: Way, turn: MiniBatch) -> Iterator[Losses]:
        """Real pictures with all of their masks against the (pooled) translations up to this mini-batch."""
        of_real, of_fake = each(way.D, turn.real, turn.shown)
        yield {f"D_{way.source}": (self.gan_loss(of_real, real=True) + self.gan_loss(of_fake, real=False)) / 2}

    def importance(self, turn: MiniBatch) -> Tensor | float:
        """Of each pixel in the context loss: (R, 1, H, W), or 1 for all. Not in the paper, where it is 1: more of what
        earlier mini-batches have translated, lest later ones repaint it."""
        if self.lambda_earlier == 1:
            return 1.0
        earlier = (turn.aggregate.slots(0, turn.start).union() + 1) / 2  # (R, 1, H, W), 1 inside
        return 1 + (self.lambda_earlier - 1) * earlier

    def chosen(self, source: InstanceBatch) -> InstanceBatch:
        """At most ``ins_max`` instances of each row, in the order in which they are translated."""
        return taken(source, self.ins_max, self.set_order)

    def translators(self) -> dict[Direction, OneWayTranslator]:
        """Section 2.3, too: a few instances at a time. A picture without instances comes out unchanged."""
        how = needs_of(self.attribute), self.ins_per, self.set_order, self.ins_max, self.ins_per is None
        return {Direction(way.source, way.target): OneWayTranslator(way.G, *how) for way in self.ways}

    @staticmethod
    def dataset_mode(options: Namespace) -> str:
        return "unaligned_seg"

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        group = parser.add_argument_group("insta_gan")
        add_set_flags(group, training)
        add_upsample(group)
        add_weights(group, 1.0)
        group.add_argument("--lambda_ctx", type=finite(), default=1.0, help="context loss, relative to lambda_A and _B")
        group.add_argument(
            "--lambda_earlier", type=finite(), default=1.0,
            help="context loss on instances that earlier mini-batches have translated, relative to the rest (paper: 1)",
        )  # fmt: skip

    @staticmethod
    def fill_in(options: Namespace) -> None:
        drop_comparisons(options)

    @staticmethod
    def remarks(options: Namespace) -> list[str]:
        what = "no identity and context loss, and all instances at once (--ins_per has no effect)"
        return [f"{unequal(options)}: {what}"] if are_unequal(options) else []

    @classmethod
    def from_options(cls, options: Namespace) -> InstaGanModel:
        channels = channels_of(options)
        generators = {name: set_generator(options, **channels[name]) for name in "AB"}
        discriminators = {name: set_discriminator(options, channels[name]["output_nc"]) for name in "AB"}
        initialise_all(options, generators, discriminators)
        return cls(
            generators,
            discriminators,
            ins_max=options.ins_max,
            ins_per=None if are_unequal(options) else options.ins_per,
            set_order=options.set_order,
            lambda_earlier=options.lambda_earlier,
            attribute=options.attribute,
            **two_way_arguments(options),
        )


def add_set_flags(group: _ArgumentGroup, training: bool) -> None:
    """What methods share that translate sets of instances, a few at a time."""
    group.add_argument("--netG", choices=("set",), default="set", help="generator")
    group.add_argument(
        "--netG_blocks", type=whole(1), default=RESIDUAL_BLOCKS, help="residual blocks of each of its encoders"
    )
    group.add_argument("--netD", choices=("set",), default="set", help="discriminator")
    group.add_argument(
        "--set_order", choices=SET_ORDERS, default="decreasing", help="order in which instances are translated"
    )
    group.add_argument(
        "--ins_max",
        type=whole(1),
        default=4 if training else None,
        help="largest number of instances translated per image" + ("" if training else " (default: all)"),
    )
    group.add_argument("--ins_per", type=whole(1), default=2, help="instances per mini-batch")
    group.add_argument(
        "--attribute", choices=ATTRIBUTES, default=MASKS,
        help="what is told of each instance: its mask, its box, its mask and keypoints, or its parts",
    )  # fmt: skip
    group.add_argument(
        "--attribute_channels", type=whole(1), metavar="N",
        help="keypoints or parts of an instance, at most (default: as many keypoints as the data set names)",
    )  # fmt: skip


def planes(options: Namespace) -> int:
    """A, the planes of an instance beside its mask."""
    return planes_of(options.attribute, options.attribute_channels)


def set_generator(options: Namespace, input_nc: int = RGB, output_nc: int = RGB) -> SetGenerator:
    sizes = options.ngf, options.norm, options.netG_blocks, options.upsample, planes(options)
    return SetGenerator(*sizes, input_nc, output_nc)


def set_discriminator(options: Namespace, channels: int = RGB) -> SetDiscriminator:
    return SetDiscriminator(options.ndf, options.n_layers_D, options.norm, planes(options), channels)
