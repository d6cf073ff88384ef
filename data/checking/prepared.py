"""What dataset.json tells of a prepared set, held against the files that are there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.checking.findings import Finding
from data.checking.naming import Listing
from data.folders import stem_and_number
from data.preparing.dataset_json import FILE_NAME, load
from instagan.errors import InputError


def check_prepared(root: Path, listings: list[Listing], with_masks: bool) -> Iterator[Finding]:
    """Nothing where there is no dataset.json."""
    try:
        content = load(root)
    except InputError as error:
        yield Finding(FILE_NAME, "bad_dataset_json", str(error).removeprefix(f"{root / FILE_NAME} "))
        return
    pictures = content.get("pictures") if content else None
    if not isinstance(pictures, dict):
        return  # the loader says what it misses
    for listing in listings:
        tasks = {f"{listing.folder}/{task.picture.name}": task for task in listing.tasks}
        for name in pictures:
            if name.startswith(f"{listing.folder}/") and name not in tasks:
                yield Finding(name, "not_as_prepared", f"is told of in {FILE_NAME}, but it is not there")
        for name, task in tasks.items() if with_masks else ():
            yield from _check_masks(name, [stem_and_number(path)[1] for path in task.masks], pictures.get(name))
        if with_masks:
            yield from _count_rectangles(listing.folder, [pictures.get(name) for name in tasks])


def _count_rectangles(folder: str, told: list[Any]) -> Iterator[Finding]:
    lists = [of_picture.get("instances") for of_picture in told if isinstance(of_picture, dict)]
    instances = [instance for listed in lists if isinstance(listed, list) for instance in listed]
    count = sum(isinstance(instance, dict) and instance.get("from_box") is True for instance in instances)
    if count:
        message = f"has {count} rectangles among its {len(instances)} masks: the source gives boxes alone for them"
        yield Finding(f"{folder}_seg", "rectangles", message)


def _check_masks(name: str, numbers: list[int], told: Any) -> Iterator[Finding]:
    instances = told.get("instances") if isinstance(told, dict) else None
    if isinstance(instances, list) and sorted(numbers) != list(range(len(instances))):
        message = f"has {len(numbers)} masks, but {FILE_NAME} tells of {len(instances)}; prepare the set again"
        yield Finding(name, "not_as_prepared", message)
