"""Which picture has which mask files, in the published layout.

<root>/<phase>A/NAME.png        <root>/<phase>A_seg/NAME_0.png, NAME_1.png, ...
<root>/<phase>B/NAME.png        <root>/<phase>B_seg/...

Of many domains (``--domains horse,zebra,giraffe``) each has a folder, too: <root>/<phase>_horse, <phase>_horse_seg.
"""

from __future__ import annotations

import difflib
from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from data.entries import FORMAT_FLAGS, Domain, Entry, MaskFile, add_formats
from data.pooling import pool, pooled_domain, pooled_names
from data.prepared import Prepared
from instagan.errors import InputError
from instagan.io.formats import formats_of
from instagan.io.reading import PICTURE_ENDINGS
from instagan.io.value_files import NPY


class Folders:
    """The published layout as a way to find pictures; masks are looked for if ``with_masks``."""

    inherited: tuple[str, ...] = FORMAT_FLAGS

    def __init__(self, with_masks: bool) -> None:
        self.with_masks = with_masks

    def add_options(self, parser: ArgumentParser) -> None:
        group = parser.add_argument_group("folders")
        group.add_argument("--dataroot", metavar="DIR", help="folder of trainA, trainA_seg, trainB, ...")
        add_formats(group.add_argument)

    def check(self, options: Namespace) -> None:
        if options.dataroot is None:
            raise InputError(f"--dataroot is missing: pass the folder that holds {options.phase}A and {options.phase}B")

    def list_domains(self, options: Namespace, letters: str) -> dict[str, Domain]:
        root, phase, names = Path(options.dataroot), options.phase, pooled_names(options)
        entries = {name: list_domain(root, phase, name, self.with_masks) for name in names or letters}
        if names:
            domains = dict.fromkeys(letters, pooled_domain(phase, pool(entries), names))
        else:
            categories = Prepared.read(root).categories
            domains = {letter: Domain(f"{phase}{letter}", found, categories) for letter, found in entries.items()}
        formats = formats_of(vars(options))
        return {letter: domain.with_format(formats[letter]) for letter, domain in domains.items()}

    def instances_advice(self, options: Namespace) -> str:
        if not self.with_masks:
            return "take the masks along with --dataset_mode unaligned_seg"
        folder = Path(options.dataroot) / options.phase
        return f"put NAME_0.png, NAME_1.png, ... into {folder}A_seg and {folder}B_seg"


def folder_name(phase: str, domain: str) -> str:
    """trainA for a letter, train_horse for a word."""
    return f"{phase}{domain}" if len(domain) == 1 else f"{phase}_{domain}"


def list_domain(root: Path, phase: str, domain: str, with_masks: bool) -> list[Entry]:
    """All pictures of one domain ("A" or "B") sorted by name, each with its masks and, as dataset.json tells, labels.

    Raises ``InputError`` for a missing or empty folder, a missing mask folder when masks are needed, and two pictures
    that differ only in their ending, whose masks could not be told apart.
    """
    if not root.is_dir():
        raise InputError(f"--dataroot {root}: no such folder; pass the folder that holds {phase}A and {phase}B")
    folder = root / folder_name(phase, domain)
    if not folder.is_dir():
        raise InputError(_missing_folder(root, phase, domain))
    pictures = pictures_among(_files_of(folder))
    if not pictures:
        raise InputError(f"{folder} holds no picture; put {', '.join(PICTURE_ENDINGS)} or {NPY} files there")
    by_stem: dict[str, Path] = {}
    for path in pictures:
        if path.stem in by_stem:
            raise InputError(f"{path} and {by_stem[path.stem].name} would share their masks; rename one of them")
        by_stem[path.stem] = path
    if not with_masks:
        return [Entry(path) for path in pictures]
    masks, prepared = _list_masks(root / f"{folder.name}_seg"), Prepared.read(root)
    return [_entry(path, masks.get(path.stem, {}), prepared) for path in pictures]


def _entry(picture: Path, masks: dict[int, Path], prepared: Prepared) -> Entry:
    key = f"{picture.parent.name}/{picture.name}"
    files = []
    for number, path in masks.items():
        label, source = prepared.label_and_source_of(key, number)
        files.append(MaskFile(path, number, label, source, prepared.keypoints_of(key, number, label)))
    return Entry(picture, tuple(files), source_id=prepared.source_of(key))


def _list_masks(folder: Path) -> dict[str, dict[int, Path]]:
    """Picture stem -> number -> mask file, in the order of the numbers. The folder is read once."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder; it should hold the masks of the pictures (NAME_0.png, NAME_1.png, ...); "
            "a method that needs no masks can train with --dataset_mode unaligned"
        )
    numbered: defaultdict[str, dict[int, Path]] = defaultdict(dict)
    for path in _files_of(folder):
        stem, number = stem_and_number(path)
        if number >= 0 and is_picture(path):
            twin = numbered[stem].setdefault(number, path)
            if twin is not path:
                raise InputError(f"{path} and {twin.name} are both mask {number} of {stem}; remove one of them")
    return {stem: dict(sorted(found.items())) for stem, found in numbered.items()}


def _files_of(folder: Path) -> list[Path]:
    """Sorted. Raises ``InputError`` for a folder that cannot be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be listed ({error.strerror}); check its permissions") from None


def stem_and_number(path: Path) -> tuple[str, int]:
    """NAME_12.png -> (NAME, 12); number -1 where there is none."""
    stem, _, number = path.stem.rpartition("_")
    return (stem, int(number)) if number.isascii() and number.isdecimal() else (path.stem, -1)


def pictures_among(files: Sequence[Path]) -> list[Path]:
    """Those that are read as pictures; where there are none, arrays are."""
    arrays = [path for path in files if path.suffix.lower() == NPY and not path.name.startswith(".")]
    return [path for path in files if is_picture(path)] or arrays


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_ENDINGS and not path.name.startswith(".") and path.is_file()


def _missing_folder(root: Path, phase: str, domain: str) -> str:
    """What to do instead, from what is there."""
    message = f"{root / folder_name(phase, domain)}: no such folder"
    if len(domain) > 1:
        return f"{message}; put the pictures of {domain} there, or name other --domains"
    phases = sorted(path.name[:-1] for path in root.iterdir() if path.is_dir() and path.name.endswith(domain))
    if phases:
        found = ", ".join(f"{name}{domain}" for name in phases)
        near = difflib.get_close_matches(phase, phases, 1)
        likely = next((name for name in (*near, "val", "sample", "test") if name in phases), phases[0])
        return f"{message}, but there is {found}; use --phase {likely}"
    other = "B" if domain == "A" else "A"
    if (root / f"{phase}{other}").is_dir():
        return (
            f"{message}, though {phase}{other} exists; test.py translates that alone with --direction {other}to{domain}"
        )
    return f"{message}; put the pictures of domain {domain} there"
