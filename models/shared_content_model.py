"""What methods share whose domains have their contents in common, and a discriminator that cannot tell them apart."""

from __future__ import annotations

from abc import abstractmethod
from argparse import ArgumentParser, Namespace, _ArgumentGroup
from collections.abc import Iterator, Sequence
from dataclasses import field, fields
from typing import Any

import torch
from torch import Tensor, nn

from engine.optimizer import GuardedAdam
from engine.update import Losses, SimultaneousTurns, Update
from instagan.flag_types import finite, whole
from instagan.losses import over_scales, vanilla
from instagan.networks import drit
from instagan.structures.directions import A_TO_B, Direction
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from models.translation_model import TranslationModel
from models.two_way_model import add_upsample

OTHER = {"A": "B", "B": "A"}
"""Each domain's letter and the other one's."""
CONTENT_RATE, CONTENT_NORM = 0.4, 5.0
"""Of the content discriminator: its share of the learning rate, and the norm that its gradients are clipped to."""


BOTH = A_TO_B
"""What a turn is called that learns both directions at once."""


class SharedContentModel(TranslationModel):
    """Both domains are learnt together, with DRIT's schedule and discriminators of images and of contents."""

    architecture = ("dis_scale", "dis_norm", "content_layers", "upsample")
    weights_type: type[Any]
    """A dataclass: the weights of the losses, each a ``weight``."""

    def __init__(self, D_content: nn.Module, d_iter: int, lr_D: float, **rates: float) -> None:
        super().__init__()
        self.D_content, self.d_iter = D_content, d_iter
        self.optimizer_content = GuardedAdam([D_content], CONTENT_RATE * lr_D, max_norm=CONTENT_NORM, **rates)

    def training_step(self, update: Update) -> None:
        """Of every d_iter updates all but the last train the content discriminator alone."""
        update.whole = (update.progress.steps + 1) % self.d_iter == 0
        for turns in update.at_once((BOTH,), self.turn):
            if update.whole:
                self.train_all(turns)
            else:
                turns.minimise(self.optimizer_content, self.content_losses)

    @abstractmethod
    def turn(self, way: Direction, pair: UnpairedBatch, generators: list[torch.Generator]) -> Any:
        """What is drawn for a batch, and what the losses are given."""

    @abstractmethod
    def train_all(self, turns: SimultaneousTurns) -> None:
        """Minimises the losses of an update that trains all networks."""

    @abstractmethod
    def content_losses(self, way: Direction, turn: Any) -> Iterator[Losses]:
        """Of the content discriminator, which takes contents of A for 0 and of B for 1."""

    @staticmethod
    def fill_in(options: Namespace) -> None:
        if options.content_layers is None:
            crops = options.resize_or_crop.endswith("crop")
            side = min(options.fine_size_w, options.fine_size_h)
            options.content_layers = drit.content_layers(side) if crops else drit.CONTENT_LAYERS

    @staticmethod
    def remarks(options: Namespace) -> list[str]:
        layers, published = options.content_layers, drit.CONTENT_LAYERS
        less = f"content discriminator: {layers} of the {published} strided layers that images from 212 pixels on have"
        return [less] if layers < published else []

    @staticmethod
    def smallest_side(options: Namespace) -> tuple[int, str]:
        of_content = [*drit.smallest_sides()][options.content_layers], f"--content_layers {options.content_layers}"
        of_images = drit.smallest_side(options.dis_scale, options.dis_norm), f"--dis_scale {options.dis_scale}"
        return max(of_content, of_images)

    @classmethod
    def weights_of(cls, options: Namespace) -> Any:
        return cls.weights_type(**{name: getattr(options, name) for name in vars(cls.weights_type())})


def add_shared_options(parser: ArgumentParser, training: bool, name: str, weights: type[Any]) -> _ArgumentGroup:
    """The flags of a method of this kind, in a group of its name, to which it may add its own."""
    if training:
        parser.set_defaults(lr=1e-4, niter=600, niter_decay=600)
    group = parser.add_argument_group(name)
    flag = group.add_argument
    flag("--d_iter", type=whole(1), default=3, help="of so many updates one trains all networks, the others the "
         "content discriminator alone")  # fmt: skip
    flag("--dis_scale", type=whole(1, 8), default=3, help="scales of the image discriminators; 3 need images of 61 "
         "pixels, 2 of 31; 1: a single, wider one")  # fmt: skip
    flag("--dis_norm", choices=("none", "instance"), default="none", help="norm of all discriminators' layers")
    flag("--content_layers", type=whole(0, drit.CONTENT_LAYERS), help="strided layers of the content discriminator "
         "(default: as many as the images have room for; from 212 pixels on the published 3)")  # fmt: skip
    add_upsample(group)
    flag("--weight_decay", type=finite(), default=1e-4, help="weight decay of Adam")
    for one in fields(weights):
        flag(f"--{one.name}", type=finite(), default=one.default, help=one.metadata["help"])
    return group


def weight(default: float, of: str) -> Any:
    """A loss's weight in a dataclass, and what a flag's help says that it weighs."""
    return described(default, f"weight of {of}")


def described(default: float, help: str) -> Any:
    """A number in a dataclass that has a flag of its name, with this help."""
    return field(default=default, metadata={"help": help})


def drawn(generators: Sequence[torch.Generator], *shape: int) -> Tensor:
    """From N(0, I), a row from each generator: (B, *shape)."""
    return torch.stack([torch.randn(shape, generator=one) for one in generators])


def gan(D: nn.Module, image: Tensor, real: bool) -> Tensor:
    """The GAN loss of images (B, 3, H, W): cross entropy, summed over the discriminator's scales, (B,)."""
    return over_scales(vanilla, D(InstanceBatch.from_images(image)), real)
