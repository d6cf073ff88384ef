"""Command lines: types of values, which turn a string into a checked value or say what it should have been."""

from __future__ import annotations

import math
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from instagan.errors import InputError


class SentenceParser(ArgumentParser):
    """Reports a wrong command line as one sentence: raises ``InputError``."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message.removeprefix('argument ')}; see --help")


def whole(low: int, high: float = math.inf) -> Callable[[str], int]:
    """A whole number of at least ``low`` (and at most ``high``)."""

    def parse(text: str) -> int:
        value: int | None = None
        with suppress(ValueError):
            value = int(text)
        if value is None or not low <= value <= high:
            limits = f"of at least {low}" if high == math.inf else f"from {low} to {int(high)}"
            raise ArgumentTypeError(f"{text!r} is not a whole number {limits}")
        return value

    return parse


def real(low: float = 0.0, high: float = math.inf, *, above: bool = False) -> Callable[[str], float]:
    """A number of at least (``above``: of more than) ``low`` and at most ``high``; infinity only where high is."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (low < value <= high if above else low <= value <= high):
            limits = f"{'of more than' if above else 'of at least'} {low:g}"
            limits += "" if high == math.inf else f" and at most {high:g}"
            raise ArgumentTypeError(f"{text!r} is not a number {limits}")
        return value

    return parse


def finite(low: float = 0.0, *, above: bool = False) -> Callable[[str], float]:
    """A finite number of at least (``above``: of more than) ``low``."""
    return real(low, 1e30, above=above)


share = real(0, 1)
"""From 0 to 1."""


def fraction(text: str) -> float:
    """From 0 to below 1."""
    value = share(text)
    if value == 1:
        raise ArgumentTypeError(f"{text!r} is not below 1")
    return value


def levels(text: str) -> str:
    """A range of levels, as ``0-4095`` or, of any numbers, ``-0.5:3.5``, which stays text so that it can be saved;
    ``levels_of`` gives its ends."""
    if ":" in text:
        low, _, high = text.partition(":")
        with suppress(ValueError):
            if -1e30 <= float(low) < float(high) <= 1e30:
                return text
        raise ArgumentTypeError(f"{text!r} is not a range from a number to a larger one (-1024:3071)")
    (black, white), *more = spans(text)
    if more or black >= white:
        raise ArgumentTypeError(f"{text!r} is not a range of levels, from black to white (0-4095)")
    return f"{black}-{white}"


def levels_of(text: str | None, default: tuple[float, float]) -> tuple[float, float]:
    """Black and white of what ``levels`` has checked."""
    if not text:
        return default
    if ":" in text:
        low, _, high = text.partition(":")
        return float(low), float(high)
    black, _, white = text.partition("-")
    return int(black), int(white)


def spans(text: str) -> list[tuple[int, int]]:
    """``255`` -> (255, 255), ``0-999`` -> (0, 999); several are separated by commas."""
    found = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or int(last or first) < int(first):
            raise ArgumentTypeError(f"{text!r} is neither a value (255) nor a range of values (0-999)")
        found.append((int(first), int(last or first)))
    return found


def whole_numbers(text: str) -> str:
    """Whole numbers of at least 0, separated by commas; the text is kept as it is."""
    if not all(part.isascii() and part.isdecimal() for part in text.split(",")):
        raise ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 0,4,8")
    return text


def yes_or_no(text: str) -> bool:
    """True or false."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in words:
        raise ArgumentTypeError(f"{text!r} is not true or false")
    return words[text.lower()]
