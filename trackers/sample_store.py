"""The samples of a run on disk: their pictures in ``images/``, an index in ``pictures.json``, bounded in number."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

from PIL import Image

from engine.schedule import Progress
from instagan.io.overlay import overlay
from instagan.io.pixels import to_picture
from instagan.io.writing import replace_content
from instagan.structures.instances import InstanceBatch
from pages.text import plain
from trackers import Paths, Pictures

MOST_SAMPLES = 100
"""Samples kept; older ones are removed with their files."""

ROWS = 4
"""Samples shown of one batch."""


class Tile(TypedDict):
    """One column of a sample. ``plain`` and ``masks`` are files relative to the page; ``masks`` None: no instances."""

    name: str
    plain: str
    masks: str | None
    width: int
    height: int


class Sample(TypedDict):
    """One picture with its translations. ``file`` is the name of the file that it was read from."""

    epoch: int
    step: int
    source: str
    file: str
    tiles: list[Tile]


SAMPLE = {"epoch": int, "step": int, "source": str, "file": str, "tiles": list}
TILE = {"name": str, "plain": str, "masks": (str, type(None)), "width": int, "height": int}
"""What an index of an earlier session must hold."""


class SampleStore:
    """Samples below ``folder``; those found there are kept up to ``last_step``. Files are named by step, source, row
    and column, never by the user's file: such a name may hold anything."""

    def __init__(self, folder: Path, last_step: int) -> None:
        self._folder = folder
        self._images = folder / "images"
        self._images.mkdir(parents=True, exist_ok=True)
        self._index = folder / "pictures.json"
        self._samples = [sample for sample in _read(self._index) if sample["step"] <= last_step]

    def newest_first(self) -> list[Sample]:
        return sorted(self._samples, key=lambda sample: -sample["step"])

    def add(self, progress: Progress, pictures: Pictures, paths: Paths) -> None:
        """Saves the first rows of each source's batches and remembers them; the oldest beyond the bound are dropped."""
        added = [
            self._saved(progress, source, row, batches, path)
            for row in range(ROWS)
            for source, batches in pictures.items()
            for path in paths[source][row : row + 1]
        ]
        sources = set(pictures)
        kept = [old for old in self._samples if old["step"] != progress.steps or old["source"] not in sources]
        self._samples = [*kept, *added][-MOST_SAMPLES:]
        replace_content(self._index, json.dumps(self._samples).encode())

    def forget_old_files(self) -> None:
        """Removes the pictures of dropped samples: called once no page shows them any more."""
        wanted = {Path(name).name for sample in self._samples for name in _files(sample)}
        for file in self._images.glob("*.png"):
            if file.name not in wanted:
                file.unlink(missing_ok=True)

    def _saved(
        self, progress: Progress, source: str, row: int, batches: Mapping[str, InstanceBatch], path: str
    ) -> Sample:
        tiles: list[Tile] = []
        for column, (name, batch) in enumerate(batches.items()):
            stem = f"{progress.steps:09d}_{plain(source)}_{row}_{column}_{plain(name)}"
            picture = to_picture(batch.image[row])
            masks = None
            if batch.slot_count:
                drawn = overlay(batch.image[row], batch.masks[row], batch.present[row])
                masks = self._write(f"{stem}_masks.png", drawn)
            file = self._write(f"{stem}.png", picture)
            tiles.append(Tile(name=name, plain=file, masks=masks, width=picture.width, height=picture.height))
        return Sample(epoch=progress.epoch, step=progress.steps, source=source, file=Path(path).name, tiles=tiles)

    def _write(self, name: str, picture: Image.Image) -> str:
        picture.save(self._images / name, compress_level=3)
        return f"images/{name}"


def _files(sample: Sample) -> list[str]:
    return [file for tile in sample["tiles"] for file in (tile["plain"], tile["masks"]) if file is not None]


def _read(index: Path) -> list[Sample]:
    """The samples of an earlier session; none where the index is missing, damaged, or its pictures are gone."""
    try:
        found: list[Any] = json.loads(index.read_bytes())
        whole = [sample for sample in found if _fits(sample, SAMPLE) and all(_fits(t, TILE) for t in sample["tiles"])]
        return [sample for sample in whole if all(_is_ours(index.parent, file) for file in _files(sample))]
    except (OSError, ValueError, TypeError, RecursionError):
        return []


def _fits(record: Any, kinds: Mapping[str, type | tuple[type, ...]]) -> bool:
    """Whether it is a dictionary of these keys, with values of these kinds in a range that a page can show."""
    if not isinstance(record, dict) or record.keys() != kinds.keys():
        return False
    values = [(record[name], kind) for name, kind in kinds.items()]
    return all(isinstance(value, kind) and not (kind is int and abs(value) > 2**53) for value, kind in values)


def _is_ours(folder: Path, file: str) -> bool:
    return PurePosixPath(file).parts[:-1] == ("images",) and (folder / file).is_file()
