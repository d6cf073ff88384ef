"""The text records of the INIT data set -> objects.

    # 17
    /part1/0017.png            path from the folder of the domain
    3 1208 1920 1              channels, height, width, one more number
    0
    2                          how many boxes
    1 3.5 4.5 60.0 41.0        class, left, top, right, bottom in pixels
    3 80.0 9.0 99.5 70.0

Blank lines may stand anywhere; an image may have no box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from data.boxes.objects import Found, Object, lines_of, within
from instagan.errors import InputError
from instagan.io.locating import leads_out, locate
from instagan.io.values import side

CLASSES = ("car=1", "sign=2", "person=3")
"""Class numbers of the data set -> names: 2 are speed-limit signs."""

Line = tuple[str, list[str]]


def read_init(path: Path, images: Path, found: Found) -> None:
    """Adds the images of one file. Raises ``InputError`` for a file without records.

    Images that are not there are left out, and counted.
    """
    records = list(_records(lines_of(path)))
    if not records:
        raise InputError(f"{path} has no record: none of its lines starts with '#'; pass an annotation file of INIT")
    for where, lines in records:
        with found.part(where, pictures=1, instances=0):
            _read_record(lines, images, found)


def _records(lines: Sequence[Line]) -> Iterator[tuple[str, list[Line]]]:
    """Where each record begins, and its lines without the one that starts with '#'."""
    record: tuple[str, list[Line]] | None = None
    for where, words in lines:
        if words[0].startswith("#"):
            if record:
                yield record
            record = where, []
        elif record is None:
            raise InputError(f"{where}: a record begins with a line '# NUMBER'; pass an annotation file of INIT")
        else:
            record[1].append((where, words))
    if record:
        yield record


def _read_record(lines: list[Line], images: Path, found: Found) -> None:
    if len(lines) < 4:
        raise ValueError(f"the record has {len(lines)} lines; it takes path, size, 0 and the number of boxes")
    name = " ".join(lines[0][1]).lstrip("/")
    height, width = (side(word, "size") for word in lines[1][1][1:3])
    if not height or not width:
        raise ValueError("the record tells no height and width")
    told, boxes = lines[3][1][0], lines[4:]
    if not told.isdecimal():
        raise ValueError(f"the record tells {told[:40]!r} for the number of its boxes")
    if int(told) != len(boxes):
        raise ValueError(f"the record tells {told} boxes and has {len(boxes)}")
    path = locate(images, name)
    if path is None:
        if leads_out(name):
            raise ValueError(f"the file name {name!r} leads out of {images}")
        found.left_out["images that are not there"] += 1
        return
    before, objects = len(found.problems), []
    for where, words in boxes:
        with found.part(where):
            category = found.category(words[0])
            if category is not None:
                if len(words) != 5:
                    raise ValueError(f"it has {len(words)} numbers; a box has 5 (class, left, top, right, bottom)")
                objects.append(Object(category, within(*words[1:], (width, height))))
    found.add(path.relative_to(images).as_posix(), (width, height), objects, before)
