"""--instances, --order and --strength of test.py -> what each picture is asked for."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Sequence

from data.entries import Domain
from instagan.inference.control import Control
from instagan.structures.directions import Asked
from models.translation_model import TranslationModel


def control_of(
    options: Namespace, model: TranslationModel, directions: Sequence[Asked], domains: Iterable[Domain]
) -> Control:
    """Raises ``InputError`` where a direction cannot be asked for it, or no picture has such a mask."""
    control, translators = Control.from_flags(options), model.translators()
    for way in directions:
        if way.networks in translators:
            control.check(translators[way.networks], "--{}")
    masks = (mask for domain in domains for entry in domain.entries for mask in entry.mask_numbers)
    control.check_numbers(set(masks), "--{}")
    return control
