"""Flags --styles and --style_image, which test.py and translate share: many translations of one image."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from instagan.errors import InputError
from instagan.flag_types import whole
from instagan.io.reading import PICTURE_ENDINGS, list_pictures

STYLE_FLAGS = ("styles", "style_image")


def add_style_flags(add: Callable[..., Any]) -> None:
    """add: of the parser, or of a group of it."""
    add("--styles", type=whole(1), metavar="N", help="translate each image in N styles, drawn with --seed")
    add(
        "--style_image", type=Path, metavar="FILE",
        help="translate each image in the style of this one, or of each in a folder, of the domain translated to",
    )  # fmt: skip


def check_style_flags(options: Namespace, has_styles: bool) -> None:
    """Raises ``InputError`` for both flags together, or for one with a model that has no styles."""
    asked = [flag for flag in STYLE_FLAGS if getattr(options, flag)]
    if asked and not has_styles:
        raise InputError(f"--{asked[0]}: this model translates without a style; drop it")
    if len(asked) == 2:
        raise InputError("--styles and --style_image both tell the styles; drop one of them")


def style_images(options: Namespace) -> list[Path]:
    """The images of --style_image, by name; none without the flag. Raises ``InputError`` where there is none."""
    given: Path | None = options.style_image
    if given is None:
        return []
    if given.is_file():
        return [given]
    if not given.is_dir():
        raise InputError(f"--style_image {given}: no such file or folder")
    found = list_pictures(given)
    if not found:
        raise InputError(f"--style_image {given} holds no image; put {', '.join(PICTURE_ENDINGS)} files there")
    return found
