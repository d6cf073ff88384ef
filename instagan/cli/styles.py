"""--styles and --style_image of translate -> the styles that each picture is translated in."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass

from instagan.errors import InputError
from instagan.inference.inputs import Style, style_of
from instagan.inference.styles import check_style_flags, style_images
from instagan.inference.translator import Translator
from instagan.io.problems import counted
from instagan.io.reading import read_picture


@dataclass(frozen=True, eq=False)
class Styles:
    """each: number, which the files carry -> style; without a flag one style without a number."""

    each: Mapping[int | None, Style]

    @classmethod
    def asked(cls, options: Namespace, translator: Translator) -> Styles:
        """Raises ``InputError`` where the model has no styles, or naming the image that no style can be taken from."""
        check_style_flags(options, translator.has_styles)
        if options.styles:
            drawn = translator.draw_styles(options.styles, options.seed)  # (N, S)
            return cls({number: code for number, code in enumerate(drawn)})
        examples: list[Style] = []
        for file in style_images(options):
            example = read_picture(file)
            try:
                translator.network.translator.check_style(style_of(example), 1)
            except InputError as error:
                raise InputError(f"--style_image {file}: {error}") from None
            examples.append(example)
        return cls({number: example for number, example in enumerate(examples)} if examples else {None: None})

    @property
    def told(self) -> str:
        """For the summary."""
        return "" if None in self.each else f" in {counted(len(self.each), 'style')}"
