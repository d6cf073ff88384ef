"""A whole data set -> all that is wrong with it, on any number of processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from data.checking.files import Limits, check_files
from data.checking.findings import ERROR, WARNING, Finding
from data.checking.naming import TWO, Listing, Task, find_phases, list_domain_files, list_strangers
from data.checking.prepared import check_prepared
from data.folders import folder_name, list_domain
from data.preparing.dataset_json import FILE_NAME
from data.preparing.parallel import in_order
from instagan.errors import InputError
from instagan.io.formats import RGB, Format
from instagan.io.reading import ALL_LEVELS

FULL = ALL_LEVELS[1]

Progress = Callable[[Iterable[list[Finding]], int], Iterable[list[Finding]]]
"""Wraps what comes out, given how much that will be."""


@dataclass(frozen=True)
class Report:
    """What a check found. findings: sorted by file; the same for any number of workers.

    boxes: of a data set with boxes, set -> category -> the shorter sides of its boxes in pixels, sorted.
    """

    root: Path
    phases: tuple[str, ...]
    listings: tuple[Listing, ...]
    findings: tuple[Finding, ...]
    boxes: Mapping[str, Mapping[str, Sequence[float]]] | None = None

    def count(self, severity: str) -> int:
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def pictures(self) -> int:
        return sum(len(listing.tasks) for listing in self.listings)

    @property
    def masks(self) -> int:
        """Mask files that belong to a picture, or listed objects."""
        return sum(task.count for listing in self.listings for task in listing.tasks)

    @property
    def counted(self) -> str:
        """What an instance is in this data set."""
        return "masks" if self.boxes is None else "boxes"

    def content(self) -> dict[str, object]:
        """All of it in numbers and strings. Bytes of a name that are no UTF-8 are lone surrogates."""
        return {
            "dataroot": str(self.root),
            "phases": list(self.phases),
            "pictures": self.pictures,
            self.counted: self.masks,
            "errors": self.count(ERROR),
            "warnings": self.count(WARNING),
            "domains": {
                listing.folder: {
                    "pictures": len(listing.tasks),
                    self.counted: sum(task.count for task in listing.tasks),
                    **({"classes": classes_of(self.boxes[listing.folder])} if self.boxes else {}),
                }
                for listing in self.listings
            },
            "findings": [
                {"severity": finding.severity, "code": finding.code, "file": finding.file, "message": finding.message}
                for finding in self.findings
            ],
        }


def classes_of(boxes: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Category -> how many boxes it has, and least, middle and most of their shorter sides in pixels."""
    return {
        name: {"boxes": len(sides)}
        | ({"least": sides[0], "median": sides[len(sides) // 2], "most": sides[-1]} if sides else {})
        for name, sides in boxes.items()
    }


def check(
    root: Path,
    phases: Sequence[str] | None = None,
    with_masks: bool = True,
    limits: Limits | None = None,
    workers: int = 1,
    progress: Progress = lambda found, total: found,
    domains: Sequence[str] = TWO,
    formats: Mapping[str, Format] | None = None,
) -> Report:
    """Reads every picture and mask of the phases once. phases: those that must be there; by default all that are.

    formats: how the pictures of A and B are read; as RGB where nothing is told.
    Raises ``InputError`` where there is nothing to check.
    """
    limits = limits or Limits()
    chosen = _choose_phases(root, phases, domains)
    listings, findings = [], []
    places: dict[str, tuple[str, str]] = {}
    for phase in chosen:
        folders = {folder_name(phase, domain): (phase, domain) for domain in domains}
        read_as = {folder: (formats or {}).get(domain, RGB) for folder, (_, domain) in folders.items()}
        of_phase = [list_domain_files(root, folder, with_masks, format) for folder, format in read_as.items()]
        told = list(chain.from_iterable(listing.findings for listing in of_phase))
        if phases is None and phase != "train" and domains == TWO:
            of_phase, told = _excuse(root, phase, of_phase, told)
        findings.extend(told)
        findings.extend(_compare(of_phase, with_masks, limits.imbalance))
        listings.extend(of_phase)
        places |= folders
    findings.extend(list_strangers(root, chosen if phases is None else find_phases(root, domains), domains))
    findings.extend(check_prepared(root, listings, with_masks))
    tasks: list[Task] = [task for listing in listings for task in listing.tasks]
    read = in_order(partial(check_files, root=root, limits=limits), tasks, workers)
    for found in progress(read, len(tasks)):
        findings.extend(found)
    findings.extend(few_levels(listings, findings))
    findings.extend(_refused(root, listings, with_masks, findings, places))
    return Report(root, tuple(chosen), tuple(listings), tuple(sorted(set(findings))))


def _choose_phases(root: Path, phases: Sequence[str] | None, domains: Sequence[str]) -> list[str]:
    first, second = (folder_name("train", domain) for domain in domains[:2])
    if not root.is_dir():
        raise InputError(f"--dataroot {root}: no such folder; pass the folder that holds {first}, {second}, ...")
    for phase in phases or ():
        if not phase or "/" in phase or "\0" in phase:
            raise InputError(f"--phases {phase!r} is no name of a phase; train reads the folders {first} and {second}")
    try:
        chosen = list(dict.fromkeys(phases)) if phases else find_phases(root, domains)
    except OSError as error:
        raise InputError(f"--dataroot {root} cannot be listed ({error.strerror}); make it accessible") from None
    if not chosen:
        more = "" if domains != TWO else ", or name with --domains those that it has"
        advice = f"pass the folder that holds them{more}"
        raise InputError(f"--dataroot {root} has no folder like {first} and {second}; {advice}")
    return chosen


def _excuse(
    root: Path, phase: str, pair: list[Listing], findings: list[Finding]
) -> tuple[list[Listing], list[Finding]]:
    """A phase that only translates may have one domain: that is no error, as nobody asked for the other."""
    missing = {finding.file for finding in findings if finding.code == "missing_folder"}
    absent = [listing.folder for listing in pair if listing.folder in missing]
    if len(absent) != 1 or any(os.path.lexists(root / f"{absent[0]}{kind}") for kind in ("", "_seg")):
        return pair, findings
    folder = absent[0]
    findings = [finding for finding in findings if finding.file not in (folder, f"{folder}_seg")]
    there = phase + ("B" if folder.endswith("A") else "A")
    message = f"has no {folder} beside it; test.py can translate it in one direction"
    findings.append(Finding(there, "one_domain", message))
    return [listing for listing in pair if listing.folder != folder], findings


def _compare(of_phase: list[Listing], with_masks: bool, imbalance: float) -> Iterable[Finding]:
    counts = {listing.folder: len(listing.tasks) for listing in of_phase}
    if len(counts) < 2 or not all(counts.values()):
        return
    small, *_, large = sorted(counts, key=lambda folder: (counts[folder], folder))
    if counts[large] >= imbalance * counts[small]:
        message = (
            f"has {counts[small]} of the pictures, {large} {counts[large]}; an epoch shows the few again and again"
        )
        yield Finding(small, "domain_sizes", message)
    if with_masks and not any(task.masks for listing in of_phase for task in listing.tasks):
        first, *others = (f"{folder}_seg" for folder in counts)
        message = f"holds no mask of any picture, nor does {', '.join(others)}; --dataset_mode unaligned trains without"
        yield Finding(first, "no_masks", message)


def few_levels(listings: list[Listing], findings: list[Finding]) -> Iterable[Finding]:
    """Folders of pictures of more than 8 bits that use little of what 16 bits can hold."""
    for listing in listings:
        brightest = max((f.brightest for f in findings if f.file.startswith(f"{listing.folder}/")), default=0)
        if 0 < brightest < FULL // 2:
            told = f"the brightest level of its pictures of more than 8 bits is {brightest} of {FULL}"
            left = f"only {round(brightest / 257) + 1} of 256 levels are left of them"
            white = 2 ** brightest.bit_length() - 1
            message = f"{told}, so that {left}; pass --input_range 0-{white} wherever they are read"
            yield Finding(listing.folder, "few_levels", message)


def _refused(
    root: Path,
    listings: list[Listing],
    with_masks: bool,
    findings: list[Finding],
    places: Mapping[str, tuple[str, str]],
) -> Iterable[Finding]:
    """What the loader itself says of each domain, where that is not an error already. places: phase and domain of each
    folder."""
    known = {finding.file.partition("/")[0] for finding in findings if finding.severity == ERROR}
    for listing in listings:
        if {listing.folder, f"{listing.folder}_seg", FILE_NAME} & known:
            continue
        try:
            list_domain(root, *places[listing.folder], with_masks)
        except (InputError, OSError) as error:
            of_description = str(root / FILE_NAME) in str(error)
            yield Finding(FILE_NAME if of_description else listing.folder, "refused", str(error))
