"""What result files are called: test.py's names, the published ones, or any that --pattern tells.

A pattern is a file name below the folder, with {name}, {source}, {target} (A or B) and {number} (of an instance).
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from instagan.errors import InputError

KINDS = {
    "real": "the picture",
    "fake": "its translation",
    "real_mask": "mask of all instances of the picture",
    "fake_mask": "mask of all instances of the translation",
    "real_masks": "mask of one instance, with {number}",
    "fake_masks": "its translated mask, with {number}",
}
FIELDS = {"name": ".+", "number": r"\d+"}
ALONE = 0
"""The number under which a file is kept whose pattern has none."""


@dataclass(frozen=True)
class Layout:
    """name: for messages and the report. patterns: kind of file -> its pattern."""

    name: str
    patterns: Mapping[str, str]

    def tells_direction(self) -> bool:
        return any("{source}" in self.patterns[kind] or "{target}" in self.patterns[kind] for kind in ("real", "fake"))

    def form(self, kind: str, source: str, target: str) -> re.Pattern[str]:
        """What files of a kind are called in a direction; groups tell the name and the number."""
        words, seen = [], set()
        for text, field, *_ in string.Formatter().parse(self.patterns[kind]):
            words.append(re.escape(text))
            if field in FIELDS:
                words.append(f"(?P={field})" if field in seen else f"(?P<{field}>{FIELDS[field]})")
                seen.add(field)
            elif field is not None:
                words.append({"source": source, "target": target}[field])
        return re.compile("".join(words))


class Files:
    """The files of one direction in a folder: of a kind, by picture and by number of the instance."""

    def __init__(self, folder: Path, layout: Layout, files: Sequence[str], source: str, target: str) -> None:
        self.folder, self.layout, self.all = folder, layout, files
        self.found: dict[str, dict[str, dict[int, Path]]] = {}
        self.letters = {"source": source, "target": target}
        for kind in layout.patterns:
            of_kind = self.found.setdefault(kind, {})
            form = layout.form(kind, source, target)
            for match in filter(None, map(form.fullmatch, files)):
                number = int(match["number"]) if "number" in form.groupindex else ALONE
                of_kind.setdefault(match["name"], {})[number] = folder / match.string

    def names(self, kind: str) -> list[str]:
        """The pictures of which there is a file of this kind, in their order."""
        return sorted(self.found.get(kind, {}))

    def file(self, kind: str, name: str) -> Path | None:
        return self.found.get(kind, {}).get(name, {}).get(ALONE)

    def numbered(self, kind: str, name: str) -> dict[int, Path]:
        """The files of a picture's instances, by their numbers, in their order."""
        return dict(sorted(self.found.get(kind, {}).get(name, {}).items()))

    def wanted(self, kind: str, name: str) -> str:
        """What a file would be called."""
        return self.layout.patterns[kind].format(name=name, number=ALONE, **self.letters)


OURS = Layout(
    "test.py's",
    {
        "real": "{name}_real_{source}.png",
        "fake": "{name}_fake_{target}.png",
        "real_mask": "{name}_real_{source}_mask.png",
        "fake_mask": "{name}_fake_{target}_mask.png",
        "fake_masks": "{name}_fake_{target}_mask_{number}.png",
    },
)
PUBLISHED = Layout(
    "published",
    {
        "real": "{name}_real_{source}_img.png",
        "fake": "{name}_fake_{target}_img.png",
        "real_mask": "{name}_real_{source}_seg.png",
        "fake_mask": "{name}_fake_{target}_seg.png",
    },
)
LAYOUTS = (OURS, PUBLISHED)


def read_patterns(words: Sequence[str]) -> Layout:
    """``real=... fake=...`` as a layout. Raises ``InputError`` naming what is wrong with --pattern."""
    patterns = dict(_read_pattern(word) for word in words)
    if missing := [kind for kind in ("real", "fake") if kind not in patterns]:
        raise InputError(f"--pattern needs {missing[0]}=PATTERN as well, {KINDS[missing[0]]}")
    return Layout("told by --pattern", patterns)


def _read_pattern(word: str) -> tuple[str, str]:
    kind, equals, pattern = word.partition("=")
    if not equals or kind not in KINDS:
        raise InputError(f"--pattern {word}: write KIND=PATTERN, KIND one of {', '.join(KINDS)}")
    try:
        parsed = [part for part in string.Formatter().parse(pattern) if part[1] is not None]
    except ValueError as error:
        raise InputError(f"--pattern {word} cannot be read ({error}); fix its braces") from None
    known = ("name", "source", "target", "number")
    for _, field, spec, how in parsed:
        if field not in known or spec or how:
            raise InputError(f"--pattern {word}: there is no {{{field}}}; use {', '.join(known)}, in braces")
    fields = {field for _, field, *_ in parsed}
    if "name" not in fields:
        raise InputError(f"--pattern {word} needs {{name}}, which tells the images apart")
    if ("number" in fields) != kind.endswith("masks"):
        raise InputError(f"--pattern {word}: {{number}} belongs into real_masks and fake_masks, and nowhere else")
    return kind, pattern
