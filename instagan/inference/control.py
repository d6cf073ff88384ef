"""Which instances are translated, in which order and how strongly: asked for by the numbers of masks.

Flags --instances, --order and --strength, which test.py and translate share, and the same words in ``Translator``.
"""

from __future__ import annotations

import math
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch

from instagan.errors import InputError
from instagan.flag_types import share
from instagan.structures.instances import InstanceBatch
from instagan.structures.one_way import OF_INSTANCES, OneWayTranslator

CONTROL_FLAGS = ("instances", "order", "strength")
Strength: TypeAlias = "float | Sequence[float]"


@dataclass(frozen=True)
class Control:
    """instances: numbers of those that are translated; the others are left as they are. None: all.

    order     numbers of those that are translated first, in this order; the others follow in the model's own order
    strength  from 0 (left as it is) to 1 (as trained): one for all, or one for each by its number, and 1 beyond them
    """

    instances: tuple[int, ...] | None = None
    order: tuple[int, ...] = ()
    strength: float | tuple[float, ...] = 1.0

    @classmethod
    def of(cls, instances: Any = None, order: Any = None, strength: Any = 1.0) -> Control:
        """What a caller of Python asks for. Raises ``InputError``."""
        several = isinstance(strength, Sequence) and not isinstance(strength, str)
        each = strength if several else (strength,)
        if not each or not all(_is_share(one) for one in each):
            raise InputError(f"strength={strength!r} must be a number from 0 to 1, or a list with one for each mask")
        numbers = {"instances": instances, "order": order}
        for name, given in numbers.items():
            if given is None:
                continue
            whole = not isinstance(given, str) and isinstance(given, Sequence | range) and all(map(_is_number, given))
            if not whole or len(set(given)) < len(given):
                raise InputError(f"{name}={given!r} must be a list of different mask numbers, counted from 0")
        return cls(
            None if instances is None else tuple(instances),
            tuple(order or ()),
            tuple(map(float, strength)) if several else float(strength),
        )

    @classmethod
    def of_texts(cls, instances: str | None, order: str | None, strength: str | None) -> Control:
        """What flags say, or who types the same elsewhere. Raises ``InputError``."""
        told = dict(zip(CONTROL_FLAGS, (instances, order, strength), strict=True))
        try:
            for name, text in told.items():
                if text is not None:
                    TYPES[name](text)
        except ArgumentTypeError as error:
            raise InputError(f"{name}: {error}; correct it") from None
        first, second = (None if text is None else tuple(map(int, text.split(","))) for text in (instances, order))
        each = [float(part) for part in (strength or "1").split(",")]
        return cls.of(first, second, each if len(each) > 1 else each[0])

    @classmethod
    def from_flags(cls, options: Namespace) -> Control:
        return cls.of_texts(options.instances, options.order, options.strength)

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self != Control()

    def check(self, translator: OneWayTranslator, spelling: str = "{}") -> None:
        """Raises ``InputError`` where a model cannot be asked for this. spelling: of the words, such as "--{}"."""
        asked = [spelling.format(name) for name in CONTROL_FLAGS if getattr(self, name) != getattr(Control(), name)]
        if asked and not OF_INSTANCES & set(translator.needs):
            raise InputError(f"{asked[0]}: this model looks at no instances; drop it")
        asked = [name for name in asked if name != spelling.format("instances")]
        if asked and translator.ins_per is None:
            raise InputError(f"{asked[0]}: this model does not translate instance by instance; drop it")

    def unknown(self, known: Collection[int], spelling: str = "{}") -> list[str]:
        """A sentence for each word with a number that no mask has. known: those of all pictures."""
        last = len(self.strength) - 1 if isinstance(self.strength, tuple) else -1
        wanted = {"instances": self.instances or (), "order": self.order, "strength": range(last, last + 1)}
        most = max(known, default=-1)
        found = []
        for name, numbers in wanted.items():  # strengths are counted through, also where a number is missing
            beyond = [one for one in numbers if one > most or (name != "strength" and one not in known)]
            if beyond:
                there = f"the masks are {', '.join(map(str, sorted(known)[:8]))}" + ", ..." * (len(known) > 8)
                there = there if known else "there is no mask"
                found.append(f"{spelling.format(name)} tells of mask {beyond[0]}, and {there}")
        return found

    def check_numbers(self, known: Collection[int], spelling: str = "{}") -> None:
        """Raises ``InputError`` for a number that no mask has."""
        for sentence in self.unknown(known, spelling):
            raise InputError(f"{sentence}; pass the number of one, or drop it")

    def strength_of(self, number: int) -> float:
        """0 for a mask that is left as it is."""
        if self.instances is not None and number not in self.instances:
            return 0.0
        if isinstance(self.strength, tuple):
            return self.strength[number] if number < len(self.strength) else 1.0
        return self.strength

    def rank_of(self, number: int) -> int:
        return self.order.index(number) if number in self.order else len(self.order)

    def on(self, batch: InstanceBatch, numbers: Sequence[Sequence[int]]) -> InstanceBatch:
        """The batch, translated as it is asked for. numbers: of the masks in the slots of each row, but absent ones."""
        if not self:
            return batch
        strengths = torch.zeros(batch.present.shape)  # (B, N)
        ranks = torch.zeros(batch.present.shape, dtype=torch.long)  # (B, N)
        for row, of_row in enumerate(numbers):
            for slot, number in enumerate(of_row):
                strengths[row, slot], ranks[row, slot] = self.strength_of(number), self.rank_of(number)
        sent = {"strengths": strengths.to(batch.image), "ranks": ranks.to(batch.image.device)}
        return replace(batch, **sent).keeping(batch.present & (strengths > 0))


def add_control_flags(add: Callable[..., Any]) -> None:
    """add: of the parser, or of a group of it."""
    add("--instances", type=mask_numbers, metavar="N,N", help="numbers of the masks that are translated (default: all)")
    add("--order", type=mask_numbers, metavar="N,N", help="masks that are translated first, in this order")
    add(
        "--strength", type=shares, metavar="S[,S]",
        help="how strongly, from 0 (left as it is) to 1 (as trained): for all masks, or for each by its number",
    )  # fmt: skip


def mask_numbers(text: str) -> str:
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() for part in parts) or len({*map(int, parts)}) < len(parts):
        raise ArgumentTypeError(f"{text!r} is not a list of different mask numbers such as 2,0")
    return text


def shares(text: str) -> str:
    for part in text.split(","):
        share(part)
    return text


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1


TYPES = {"instances": mask_numbers, "order": mask_numbers, "strength": shares}
"""Name of a flag -> what checks its text."""
