"""CycleGAN+Seg, the baseline of the InstaGAN paper: picture and union of the masks go through one 4-channel network."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from models.cycle_gan_model import CycleGanModel, add_shared_flags


class CycleGanSegModel(CycleGanModel):
    """CycleGAN that sees the union of a picture's masks as a fourth channel, and translates it along.

    The same as ``--model cycle_gan --with_masks``, as a method of its own.
    """

    architecture = ()

    @staticmethod
    def dataset_mode(options: Namespace) -> str:
        return "unaligned_seg"

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        add_shared_flags(parser.add_argument_group("cycle_gan_seg"))

    @classmethod
    def from_options(cls, options: Namespace) -> CycleGanModel:
        return cls.built(options, with_masks=True)
