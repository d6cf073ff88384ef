"""What an earlier run, complete or not, has left in a folder: which pictures need not be made again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from data.preparing import dataset_json
from data.preparing.dataset_json import Entry
from data.preparing.tasks import Plan, Task
from instagan.errors import InputError

FILE_NAME = ".preparing.jsonl"
"""A run's finished pictures while it is not complete: what it makes on the first line, then one picture a line."""

PHASES = ("train", "val", "test")


def begin(root: Path, wanted: dict[str, Any], entries: Mapping[str, Entry]) -> TextIO:
    """A journal of the entries known so far, open for more. An earlier one is replaced at once, or not at all."""
    fresh = root / f"{FILE_NAME}.tmp"
    with fresh.open("w", encoding="utf-8") as lines:
        write_line(lines, wanted)
        for key, entry in entries.items():
            write_line(lines, [key, entry])
    os.replace(fresh, root / FILE_NAME)
    return (root / FILE_NAME).open("a", encoding="utf-8")


def write_line(lines: TextIO, content: Any) -> None:
    lines.write(json.dumps(content) + "\n")
    lines.flush()


def identity(plan: Plan, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What must agree for an earlier run's pictures to be of use."""
    content = dataset_json.describe(plan, settings, {}, [])
    return json.loads(json.dumps({key: content[key] for key in ("format", "source", "settings", "categories")}))


def earlier(root: Path, wanted: dict[str, Any]) -> dict[str, Entry]:
    """The entries of an earlier run, complete or not. Raises ``InputError`` if it was another set."""
    refusal = "pass another --save_root, or --overwrite to replace it"
    if root.exists() and not root.is_dir():
        raise InputError(f"--save_root {root} is a file; pass a folder")
    lines = _journal_lines(root / FILE_NAME)
    content = None if lines else dataset_json.load(root)
    if lines:
        found, entries = lines[0], {line[0]: line[1] for line in lines[1:]}
    elif content is not None:
        found = {key: content[key] for key in wanted}
        entries = {**content["pictures"], **content["left_out"]}
    else:
        taken = [name for phase in PHASES for name in (f"{phase}A", f"{phase}B") if (root / name).exists()]
        if taken:
            raise InputError(f"{root / taken[0]} is there but was not written by this program; {refusal}")
        return {}
    different = [key for key, value in wanted.items() if found.get(key) != value]
    if different:
        raise InputError(f"{root} holds a set prepared with another {' and '.join(different)}; {refusal}")
    return entries


def _journal_lines(path: Path) -> list[Any]:
    """The whole lines of a journal; what a killed process left of its last line is dropped."""
    lines = []
    try:
        with path.open(encoding="utf-8") as journal:
            for line in journal:
                lines.append(json.loads(line))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        pass
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); pass another --save_root") from None
    return lines


def finished(root: Path, plan: Plan, entries: Mapping[str, Entry]) -> Iterator[Task]:
    """The tasks whose entry is known and whose files are all there. Every folder is read once."""
    folders = {task.folder for task in plan.tasks}
    there = {folder: _file_names(root / folder) for name in folders for folder in (name, f"{name}_seg")}
    for task in plan.tasks:
        entry = entries.get(task.key)
        if entry is None or entry["source"] != task.source:
            continue
        masks = (f"{task.name}_{number}.png" for number in range(len(entry["instances"])))
        if not entry["instances"] or (
            f"{task.name}.png" in there[task.folder] and all(mask in there[f"{task.folder}_seg"] for mask in masks)
        ):
            yield task


def _file_names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as files:
            return {file.name for file in files if file.is_file() and file.stat().st_size > 0}
    except OSError:
        return set()
