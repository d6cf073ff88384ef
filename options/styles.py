"""--styles and --style_image of test.py -> the styles that each picture is translated in."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from data.collate import collate_domain
from data.entries import Entry
from data.unaligned_instance_dataset import DomainDataset
from instagan.errors import InputError
from instagan.inference.styles import check_style_flags, style_images
from instagan.structures.instances import InstanceBatch
from instagan.structures.one_way import OneWayTranslator
from models.translation_model import TranslationModel
from options.build import framing

Style = Tensor | InstanceBatch | None
"""Codes (1, S), or an example as a batch of one row; None for a method that has no styles."""


@dataclass(frozen=True, eq=False)
class Styles:
    """each: the same for all pictures and directions. examples: the files of --style_image that they are of.

    asked: whether a flag asks for them; else there is one, and it has no number. known: whether the method has styles
    that images tell.
    """

    each: Sequence[Style]
    examples: Sequence[Path] = ()
    asked: bool = False
    known: bool = True

    @property
    def count(self) -> int | None:
        """How many translations of a picture there are; None where no flag asks for them."""
        return len(self.each) if self.asked else None

    @property
    def images(self) -> list[InstanceBatch]:
        """The examples, as the networks see them."""
        return [style for style in self.each if isinstance(style, InstanceBatch)]

    @property
    def told(self) -> str:
        """For the summary, after the number of images."""
        return f" in {len(self.each)} style{'' if len(self.each) == 1 else 's'}" if self.asked else ""

    def back(self, real: InstanceBatch) -> Style:
        """The style in which a translation of ``real`` is translated back: its own."""
        return real if self.known else None


def styles_of(options: Namespace, model: TranslationModel, device: torch.device) -> Styles:
    """The same in every run with this --seed. Examples are framed as what is translated. Raises ``InputError``."""
    known = "style" in model.needs
    check_style_flags(options, known)
    if options.save_coco and (options.styles or options.style_image):
        raise InputError("--save_coco keeps one translation of each image; drop it, or drop the flag for styles")
    translator = next(iter(model.translators().values()), None)
    if files := style_images(options):
        dataset = DomainDataset([Entry(file) for file in files], framing(options, False))
        examples = [collate_domain([dataset[number]])[0] for number in range(len(files))]
        _check(files, examples, translator)
        return Styles([example.to(device) for example in examples], files, asked=True)
    told = translator is not None and translator.own_style is None
    if translator is None or not (options.styles or translator.draws_styles):
        return Styles([None], known=known and told)
    codes = translator.draw_styles(options.styles or 1, torch.Generator().manual_seed(options.seed))  # (N, S)
    return Styles(codes.to(device).split(1), asked=bool(options.styles), known=told)


def _check(files: Sequence[Path], examples: Sequence[InstanceBatch], translator: OneWayTranslator | None) -> None:
    """Raises ``InputError`` naming the file of an example that no style can be taken from."""
    for file, example in zip(files, examples, strict=True):
        try:
            if translator:
                translator.check_style(example, 1)
        except InputError as error:
            raise InputError(f"--style_image {file}: {error}") from None
