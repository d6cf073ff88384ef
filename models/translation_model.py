"""The contract of a method: what the programs know about it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from engine.averaging import Averages
from engine.optimizer import GuardedAdam
from engine.update import Update
from instagan.errors import InputError
from instagan.networks.discriminators import smallest_side
from instagan.structures.directions import A_TO_B, B_TO_A, Direction
from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import InstanceBatch
from instagan.structures.one_way import OneWayTranslator


class TranslationModel(nn.Module, ABC):
    """A method that learns to translate between domains.

    A method is one file with one class, and one line in ``MODELS``: flags, help, checkpoints, resume, test.py and the
    contract test follow from what is here. ``networks``, ``pools`` and the optimizers' states are all that a
    checkpoint keeps of it.
    """

    directions: tuple[Direction, ...] = (A_TO_B, B_TO_A)
    """What it can translate. A way back is shown only where the opposite direction is there, too."""
    architecture: tuple[str, ...] = ()
    """Names of the method's own flags that shape its networks; a trained run's values cannot be changed."""
    not_inherited: tuple[str, ...] = ()
    """Names of the method's own flags whose value in training is no default for translating."""

    channels: str = "rgb"
    """Which numbers of channels it learns (--input_nc, --output_nc): "rgb", 3 alone; "equal", any that is the same in A
    and B; "any"."""

    takes: tuple[str, ...] = ("masks", "boxes", "labels")
    """What training looks at beside the images, where the data have it. Without "masks", boxes alone are loaded."""

    networks: nn.ModuleDict
    pools: dict[str, ImagePool]
    averages: Averages | None = None
    """Of the networks' weights, with ``--ema``; they translate in the place of those."""
    in_windows: Callable[[OneWayTranslator, InstanceBatch], InstanceBatch] | None = None
    """How large images are translated, with ``--instance_crops``."""

    @staticmethod
    @abstractmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        """Adds this method's own flags, for train.py or for test.py."""

    @classmethod
    @abstractmethod
    def from_options(cls, options: Namespace) -> TranslationModel:
        """Builds the method from checked options. Raises ``InputError`` for values that it cannot work with."""

    @staticmethod
    def fill_in(options: Namespace) -> None:
        """Sets own flags that nobody typed to what follows from others. A run keeps the values that it began with."""

    @staticmethod
    def remarks(options: Namespace) -> list[str]:
        """Lines for the summary before training: what the method makes of flags where that may be unexpected."""
        return []

    @staticmethod
    def dataset_mode(options: Namespace) -> str:
        """The data set that the method needs when the user names none: pictures, unless it says otherwise."""
        return "unaligned"

    @staticmethod
    def smallest_side(options: Namespace) -> tuple[int, str]:
        """Shortest side in pixels of the images that the discriminators can judge, and the flag that asks for it."""
        return smallest_side(options.n_layers_D), f"--n_layers_D {options.n_layers_D}"

    @staticmethod
    def most_instances(options: Namespace) -> int | None:
        """Most instances of an image that training looks at; others are drawn each time. None: all of them."""
        return None

    @classmethod
    def check_channels(cls, options: Namespace) -> None:
        """Raises ``InputError`` for numbers of channels that the method cannot learn."""
        numbers = {name: getattr(options, name) for name in ("input_nc", "output_nc")}
        for name, number in numbers.items():
            if cls.channels == "rgb" and number != 3:
                raise InputError(f"--{name} {number}: --model {options.model} works on RGB images alone; use 3")
        if cls.channels == "equal" and len(set(numbers.values())) > 1:
            raise InputError(
                f"--input_nc {options.input_nc} and --output_nc {options.output_nc}: --model {options.model} compares "
                "images of A and B in one network; give both the same, or use cycle_gan or insta_gan"
            )

    def check_categories(self, named: Mapping[str, Sequence[str]]) -> None:
        """Raises ``InputError`` where it cannot learn from instances of these categories.

        named: domain -> the names in the order of the labels; none where the data set tells none.
        """

    @abstractmethod
    def training_step(self, update: Update) -> None:
        """The method as its paper has it: it minimises losses through ``update``, and shows pictures."""

    def translators(self) -> Mapping[Direction, OneWayTranslator]:
        """How each direction is translated; a checkpoint tells it to ``instagan.Translator``.

        A method that overrides ``translate`` instead needs none; it is then used through its own file alone.
        """
        return {}

    @property
    def needs(self) -> tuple[str, ...]:
        """What translating looks at beside the image: "masks", "boxes", "labels", "style"."""
        return tuple(sorted({need for one in self.translators().values() for need in one.needs}))

    @torch.no_grad()
    def translate(self, source: InstanceBatch, to: str = "b", style: Any = None) -> InstanceBatch:
        """Images of the domain ``to``, without gradients, slots in the order of ``source``.

        Runs the networks of this direction only. style: what the method takes for one; None: it is drawn, or there is
        none. Raises ``InputError`` for a style where ``needs`` holds none.
        """
        (translator,) = (one for way, one in self.translators().items() if way.target == to.upper())
        if self.in_windows:
            return self.in_windows(translator, source)
        return translator(source, style=style)

    @abstractmethod
    def optimizers(self) -> dict[str, GuardedAdam]:
        """Every optimizer by name. "G" and "D" follow --lr and --lr_D."""
