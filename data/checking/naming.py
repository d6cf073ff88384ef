"""What file names tell, by the rules of ``data/folders.py``: nothing is opened here."""

from __future__ import annotations

import errno
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data.checking.findings import Finding
from data.entries import Entry
from data.folders import folder_name, pictures_among, stem_and_number
from data.results import LONGEST_STEM
from instagan.io.formats import RGB, Format
from instagan.io.reading import PICTURE_ENDINGS

SHOWN_NUMBERS = 8
TWO = ("A", "B")
"""The domains of a data set of two."""


@dataclass(frozen=True)
class Task:
    """A picture and the files of its masks in the order of their numbers: what is read in one go.

    Where objects are listed in a json, ``entry`` has them, and ``classes`` are the names of their labels; ``name`` is
    what findings call the picture. format: how it is read.
    """

    picture: Path
    masks: tuple[Path, ...] = ()
    entry: Entry | None = None
    classes: tuple[str, ...] = ()
    name: str = ""
    format: Format = RGB

    @property
    def count(self) -> int:
        """Of its masks, or of its listed objects."""
        return len(self.entry.masks) if self.entry else len(self.masks)


@dataclass(frozen=True)
class Listing:
    """One domain of one phase, such as "trainA"."""

    folder: str
    tasks: tuple[Task, ...]
    findings: tuple[Finding, ...]


def find_phases(root: Path, domains: Sequence[str] = TWO) -> list[str]:
    """The phases of which a data set has at least one folder, sorted."""
    pattern = _phase_of(domains)
    found = (pattern.fullmatch(path.name) for path in root.iterdir() if path.is_dir() or path.is_symlink())
    return sorted({match[1] for match in found if match})


def _phase_of(domains: Sequence[str]) -> re.Pattern[str]:
    endings = "|".join(re.escape(folder_name("", domain)) for domain in domains)
    return re.compile(rf"([^.].*?)(?:{endings})(?:_seg)?")


def list_domain_files(root: Path, folder: str, with_masks: bool, format: Format = RGB) -> Listing:
    """The pictures of ``root``/``folder`` with their masks, and what their names have wrong."""
    files, findings = _list_folder(root, folder)
    if not files and not _stopped(findings):
        message = f"holds no picture; put {', '.join(PICTURE_ENDINGS)} files there"
        findings.append(Finding(folder, "empty_folder", message))
    for path in files:
        findings.extend(_odd_name(root, path))
    by_stem: dict[str, Path] = {}
    for path in files:
        twin = by_stem.setdefault(path.stem, path)
        if twin is not path:
            message = f"would share its masks with {twin.name}; rename one of them"
            findings.append(Finding(_name(root, path), "same_stem", message))
    masks: dict[str, list[Path]] = {}
    if with_masks:
        masks, of_masks = _list_masks(root, f"{folder}_seg", by_stem)
        findings.extend(of_masks)
        if not _stopped(of_masks):
            findings.extend(_bare(root, by_stem, masks))
    tasks = []
    for path in files:
        of_path = tuple(masks.get(path.stem, ())) if by_stem[path.stem] is path else ()
        tasks.append(Task(path, of_path, format=format))
    return Listing(folder, tuple(tasks), tuple(findings))


def list_strangers(root: Path, phases: list[str], domains: Sequence[str] = TWO) -> list[Finding]:
    """Folders and pictures of the root that belong to no phase."""
    findings, pattern = [], _phase_of(domains)
    for path in sorted(root.iterdir()):
        if path.name.startswith(".") or (match := pattern.fullmatch(path.name)) and match[1] in phases:
            continue
        if path.is_dir() and not pattern.fullmatch(path.name):
            folders = [folder_name("<phase>", domain) for domain in domains]
            names = ", ".join([*folders, *(f"{folder}_seg" for folder in folders[:-1])])
            message = f"is no {names} or {folders[-1]}_seg, and is not read"
            findings.append(Finding(_name(root, path), "other_folder", message))
        elif path.suffix.lower() in PICTURE_ENDINGS:
            message = "lies beside the folders of pictures, and is not read"
            findings.append(Finding(_name(root, path), "other_file", message))
    return findings


def _stopped(findings: list[Finding]) -> bool:
    """Whether a folder could not be listed."""
    return any(finding.code in ("missing_folder", "unreadable_folder") for finding in findings)


def _list_folder(root: Path, folder: str) -> tuple[list[Path], list[Finding]]:
    """The files of a folder that are read as pictures, sorted; and what is wrong with it and with other names in it."""
    path = root / folder
    try:
        if not path.is_dir():
            return [], [Finding(folder, "missing_folder", _absence(path))]
        there = sorted(path.iterdir())
        files = pictures_among(there)
        return files, [_stranger(root, found) for found in there if found not in set(files)]
    except OSError as error:
        return [], [Finding(folder, "unreadable_folder", f"cannot be listed ({error.strerror}); make it accessible")]


def _absence(path: Path) -> str:
    if path.is_symlink():
        return "is a link that leads nowhere; fix or replace it"
    if path.exists():
        return "is a file; it should be a folder"
    if path.name.endswith("_seg"):
        return (
            "no such folder; it should hold the masks, NAME_0.png, NAME_1.png, ... (--dataset_mode unaligned has none)"
        )
    return "no such folder"


def _list_masks(root: Path, folder: str, by_stem: dict[str, Path]) -> tuple[dict[str, list[Path]], list[Finding]]:
    """Stem of a picture -> its mask files in the order of their numbers; and what is wrong with their names."""
    files, findings = _list_folder(root, folder)
    numbered: defaultdict[str, dict[int, Path]] = defaultdict(dict)
    twins: defaultdict[str, list[Path]] = defaultdict(list)
    names = {stem.casefold(): picture.name for stem, picture in by_stem.items()}
    for path in files:
        stem, number = stem_and_number(path)
        name = _name(root, path)
        if number < 0:
            message = "has no number (NAME_0.png, NAME_1.png, ...), and is not read"
            findings.append(Finding(name, "mask_without_number", message))
        elif stem not in by_stem:
            near = names.get(stem.casefold())
            message = (
                f"belongs to no picture{f', but differs from {near} in case alone' if near else ''}; it is not read"
            )
            findings.append(Finding(name, "mask_without_picture", message))
        if number >= 0 and (twin := numbered[stem].setdefault(number, path)) is not path:
            twins[stem].append(path)
            message = f"and {twin.name} are both mask {number} of {stem}; remove one of them"
            findings.append(Finding(name, "same_number", message))
    for stem, picture in by_stem.items():
        if numbers := sorted(numbered.get(stem, ())):
            findings.extend(_gap(root, picture, numbers))
    masks = {stem: [found[number] for number in sorted(found)] + twins[stem] for stem, found in numbered.items()}
    return masks, findings


def _gap(root: Path, picture: Path, numbers: list[int]) -> Iterator[Finding]:
    absent = numbers[-1] + 1 - len(numbers)
    if absent > 0:
        holes = []
        for before, after in zip([-1, *numbers], numbers, strict=False):
            if after > before + 1:
                holes.append(f"{before + 1} to {after - 1}" if after > before + 2 else str(before + 1))
        more = ", ..." if len(holes) > SHOWN_NUMBERS else ""
        message = (
            f"has no mask {', '.join(holes[:SHOWN_NUMBERS])}{more}, but {numbers[-1]}; all that are there are used"
        )
        yield Finding(_name(root, picture), "numbering_gap", message)


def _bare(root: Path, by_stem: dict[str, Path], masks: dict[str, list[Path]]) -> Iterator[Finding]:
    for stem, picture in by_stem.items():
        if stem not in masks:
            message = f"has no mask {stem}_0.png; nothing in it is translated"
            yield Finding(_name(root, picture), "picture_without_masks", message)


def _odd_name(root: Path, path: Path) -> Iterator[Finding]:
    encoded = path.stem.encode("utf-8", "surrogateescape")
    if not path.name.isprintable():
        message = "has characters in its name that cannot be shown, or are no UTF-8; rename it"
        yield Finding(_name(root, path), "odd_name", message)
    if len(encoded) > LONGEST_STEM:
        message = f"has a name of {len(encoded)} bytes; test.py cuts those above {LONGEST_STEM} and appends a hash"
        yield Finding(_name(root, path), "long_name", message)


def _stranger(root: Path, path: Path) -> Finding:
    """What lies in a folder of pictures and is not read."""
    name = _name(root, path)
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return Finding(name, "link_loop", "is a link that leads in a circle, and is not read")
        if path.is_symlink():
            return Finding(name, "broken_link", "is a link to a file that is not there, and is not read")
        raise
    if path.is_dir():
        if path.is_symlink() and path.resolve() in (path.parent.resolve(), *path.parent.resolve().parents):
            return Finding(name, "link_loop", "is a link to a folder that it lies in, and is not read")
        return Finding(name, "other_folder", "is a folder among pictures, and is not read")
    if not path.is_file():
        return Finding(name, "other_file", "is no regular file, and is not read")
    if path.name.startswith("."):
        return Finding(name, "other_file", "is hidden, and is not read")
    return Finding(name, "other_file", f"is not read: pictures and masks are {', '.join(PICTURE_ENDINGS)} files")


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
