"""A data set with boxes (docs/boxes.md) -> all that is wrong with it, by the code that training reads it with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from data.boxes.writing import FILE_NAME, Listed, read_index
from data.boxes_mode import entries_of, listed_set, read_set
from data.checking.checking import Report, few_levels
from data.checking.files import File, Limits
from data.checking.findings import Finding
from data.checking.naming import Listing, Task
from data.entries import Box, Entry
from data.preparing.parallel import in_order
from instagan.errors import InputError
from instagan.io.boxes import box_of
from instagan.io.reading import read_picture

Checked = tuple[list[Finding], list[tuple[str, float]]]
"""What was found in an image, and the category and the shorter side of each of its boxes."""

SAME = 1.0
"""Boxes of one category whose edges are at most so many pixels apart are the same."""


def check_boxes(
    root: Path,
    phases: Sequence[str] | None = None,
    limits: Limits | None = None,
    workers: int = 1,
    progress: Callable[[Iterable[Checked], int], Iterable[Checked]] = lambda found, total: found,
) -> Report:
    """Reads every image of the phases once. phases: those that must be there; by default all that are.

    Raises ``InputError`` where there is nothing to check.
    """
    index = read_index(root)
    chosen = list(dict.fromkeys(phases or (name[:-1] for name in index)))
    names = [f"{phase}{letter}" for phase in chosen for letter in "AB"]
    if phases is None:
        names = [name for name in names if name in index]
    if not names:
        raise InputError(f"{root / FILE_NAME} lists no set; prepare one, see docs/boxes.md")
    listings = [_listing(root, name, index) for name in names]
    findings = [finding for listing in listings for finding in listing.findings]
    for name in names:
        other = name[:-1] + ("B" if name.endswith("A") else "A")
        if other not in names:
            findings.append(Finding(name, "one_domain", f"has no {other} beside it; training needs both"))
    boxes = {name: {category: [] for category in index[name].categories} for name in names if name in index}
    tasks = [(listing.folder, task) for listing in listings for task in listing.tasks]
    read = in_order(partial(check_image, limits=limits or Limits()), [task for _, task in tasks], workers)
    for (name, _), (found, sides) in zip(tasks, progress(read, len(tasks)), strict=True):
        findings.extend(found)
        for category, side in sides:
            boxes[name][category].append(side)
    findings.extend(few_levels(listings, findings))
    in_order_of_size = {name: {one: sorted(sides) for one, sides in of_set.items()} for name, of_set in boxes.items()}
    return Report(root, tuple(chosen), tuple(listings), tuple(sorted(set(findings))), in_order_of_size)


def _listing(root: Path, name: str, index: dict[str, Listed]) -> Listing:
    """The images of one set; what its json has wrong."""
    file = f"{name}.json"
    try:
        listed = listed_set(index, root, name)
        found = read_set(listed, skip_bad=True)
    except InputError as error:
        return Listing(name, (), (Finding(file, "refused", str(error)),))
    bad = [problem.sentence.removeprefix(str(listed.annotations)).lstrip(",: ") for problem in found.records.problems]
    findings = [Finding(file, "bad_annotation", sentence) for sentence in bad]
    findings += [Finding(file, "absent_image", f"lists {one.name}, which is not there") for one in found.absent]
    tasks = tuple(_tasks(name, listed, entries_of(found, listed)))
    return Listing(name, tasks, tuple(findings))


def _tasks(name: str, listed: Listed, entries: Iterable[Entry]) -> Iterator[Task]:
    for entry in entries:
        shown = f"{name}/{entry.picture.relative_to(listed.images).as_posix()}"
        yield Task(entry.picture, entry=entry, classes=listed.categories, name=shown)


def check_image(task: Task, limits: Limits) -> Checked:
    """Everything that is wrong with an image and its boxes. Never raises for what a file holds."""
    file, entry = File(task.name, task.picture), task.entry
    assert entry and entry.size
    image = file.read(read_picture)
    if image is not None:
        file.describe()
        if image.size != entry.size:
            _check_size(file, entry)
    boxes: dict[int, Box] = {}
    for mask in entry.masks:
        try:
            boxes[mask.number] = box_of_mask(entry, mask.number)
        except InputError as error:
            file.add("bad_annotation", f"box {mask.number}: {error}")
    file.findings.extend(_judged(task, boxes, limits))
    sides = [(task.classes[entry.masks[number].label], _shorter(box)) for number, box in boxes.items()]
    return file.findings, sides


def box_of_mask(entry: Entry, number: int) -> Box:
    """The box of an instance in pixels of the image, or around its mask. Raises ``InputError``."""
    mask = entry.masks[number]
    if mask.box or entry.size is None:
        return mask.box or (0, 0, 0, 0)
    inside = mask.read(entry.size)  # (H, W)
    if not inside.any():
        raise InputError("its mask shows nothing")
    found = box_of(inside)
    return float(found.left), float(found.top), float(found.right), float(found.bottom)


def _check_size(file: File, entry: Entry) -> None:
    """An image that is stored turned may have been annotated as it is stored."""
    try:
        entry.read_picture()
    except InputError as error:
        file.add("size_mismatch", str(error).removeprefix(f"{entry.picture} "))


def _judged(task: Task, boxes: dict[int, Box], limits: Limits) -> Iterator[Finding]:
    assert task.entry
    alike: defaultdict[str, list[tuple[int, Box]]] = defaultdict(list)
    for number, box in boxes.items():
        category = task.classes[task.entry.masks[number].label]
        width, height = box[2] - box[0], box[3] - box[1]
        if width * height < limits.tiny_area:
            told = f"has box {number} ({category}) of {width:g}x{height:g} pixels"
            yield Finding(
                task.name, "tiny_box", f"{told}; that is little to learn from (--tiny_area {limits.tiny_area})"
            )
        for earlier, other in alike[category]:
            if all(abs(one - two) <= SAME for one, two in zip(box, other, strict=True)):
                told = f"has the boxes {earlier} and {number} ({category}) at the same place"
                yield Finding(task.name, "same_box", f"{told}; remove one of them")
                break
        alike[category].append((number, box))


def _shorter(box: Box) -> float:
    return min(box[2] - box[0], box[3] - box[1])
