"""CycleGAN (Zhu, Park, Isola, Efros, ICCV 2017), and CycleGAN+Seg, the baseline of the InstaGAN paper.

CycleGAN translates pictures. CycleGAN+Seg translates the union of a picture's masks along, as one more channel.
G: X -> Y and F: Y -> X are generators, D judges domain Y; written for one direction and played in both.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from engine.freezing import frozen
from engine.update import Losses, Update
from instagan.losses import set_l1
from instagan.networks.discriminators import PatchDiscriminator
from instagan.networks.generators import ResnetGenerator
from instagan.structures.calls import each
from instagan.structures.directions import Direction
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.one_way import OneWayTranslator
from instagan.structures.sequential import MiniBatch, OneMiniBatch
from models.two_way_model import (
    Networks,
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
    union_of,
)

BLOCKS = {"resnet_9blocks": 9, "resnet_6blocks": 6}


class CycleGanModel(TwoWayModel):
    """Two generators and two discriminators that see pictures; with masks, the union of the masks as well."""

    architecture = ("with_masks", "upsample")
    channels = "any"

    def __init__(self, generators: Networks, discriminators: Networks, *, with_masks: bool = False, **two_way: Any):
        super().__init__(generators, discriminators, **two_way)
        self.with_masks = with_masks

    def training_step(self, update: Update) -> None:
        for turns in update.in_lockstep(self.ways, self.turns):
            with frozen(*self.discriminators):
                turns.minimise(self.optimizer_G, self.generator_losses)
            turns.show_pools(self.pools)
            turns.minimise(self.optimizer_D, self.discriminator_losses)

    def turns(self, way: Way, pair: UnpairedBatch) -> OneMiniBatch:
        return OneMiniBatch(way.G, self.seen(pair[way.source]), real=self.seen(pair[way.target]))

    def generator_losses(self, way: Way, turn: MiniBatch) -> Iterator[Losses]:
        x, y = turn.source, turn.translated
        of_F = each(way.F, y, x) if way.lambda_idt else each(way.F, y)
        reconstructed = next(of_F)
        yield {
            f"G_{way.source}": self.gan_loss(way.D(y), real=True),
            f"cyc_{way.source}": way.lambda_cyc * set_l1(reconstructed, x),
        }
        if way.lambda_idt:
            yield {f"idt_{way.target}": way.lambda_idt * set_l1(next(of_F), x)}
        return {way.source: way.pictures(x, y, reconstructed)}

    def discriminator_losses(self, way: Way, turn: MiniBatch) -> Iterator[Losses]:
        of_real, of_fake = each(way.D, turn.real, turn.shown)
        yield {f"D_{way.source}": (self.gan_loss(of_real, real=True) + self.gan_loss(of_fake, real=False)) / 2}

    def seen(self, source: InstanceBatch) -> InstanceBatch:
        """What the networks see of a batch: no slots, or one that holds the union of the masks."""
        return union_of(source) if self.with_masks else source.slots(0, 0)

    def translators(self) -> dict[Direction, OneWayTranslator]:
        """Pictures as a whole; they come out with no slot, or with one (the union of the masks)."""
        needs = ("masks",) if self.with_masks else ()
        return {Direction(way.source, way.target): OneWayTranslator(way.G, needs) for way in self.ways}

    @staticmethod
    def dataset_mode(options: Namespace) -> str:
        return "unaligned_seg" if options.with_masks else "unaligned"

    @staticmethod
    def fill_in(options: Namespace) -> None:
        drop_comparisons(options)

    @staticmethod
    def remarks(options: Namespace) -> list[str]:
        return [f"{unequal(options)}: no identity loss"] if are_unequal(options) else []

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        group = parser.add_argument_group("cycle_gan")
        group.add_argument("--with_masks", action="store_true", help="CycleGAN+Seg: union of masks as one more channel")
        group.add_argument("--netG", choices=tuple(BLOCKS), default="resnet_9blocks", help="generator")
        group.add_argument("--netD", choices=("basic", "n_layers"), default="basic", help="discriminator (both alike)")
        add_upsample(group)
        add_weights(group, 0.5, "--lambda_identity")

    @classmethod
    def from_options(cls, options: Namespace) -> CycleGanModel:
        norm, with_masks = options.norm, options.with_masks
        channels, of_D = channels_of(options), (options.ndf, options.n_layers_D, norm, with_masks)
        of_G = options.ngf, norm, BLOCKS[options.netG], with_masks, options.upsample
        generators = {name: ResnetGenerator(*of_G, **channels[name]) for name in "AB"}
        discriminators = {name: PatchDiscriminator(*of_D, channels[name]["output_nc"]) for name in "AB"}
        initialise_all(options, generators, discriminators)
        return cls(generators, discriminators, with_masks=with_masks, **two_way_arguments(options))


class CycleGanSegModel(CycleGanModel):
    """CycleGAN+Seg as a method of its own: ``cycle_gan --with_masks``."""

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        CycleGanModel.add_options(parser, training)
        parser.set_defaults(with_masks=True)
