"""A json in COCO's format -> its pictures that show instances of given categories, record by record.

Preparing, training and translating all read it here. What is bad is told record by record, so that ``--skip_bad`` can
leave out that record alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instagan.errors import InputError
from instagan.io.categories import check_names, clean
from instagan.io.problems import Problem
from instagan.io.reading import Size
from instagan.io.segmentations import shape_of, tidy
from instagan.io.text_files import read_json
from instagan.io.values import Id, flag, identity, number, side

ADVICE = "pass a json with the lists images, annotations and categories, as COCO has it"

USED, CROWD, STRAY, BAD = "instances", "crowd regions (iscrowd 1)", "of pictures that the list images lacks", "bad"
"""What becomes of an annotation."""

BROKEN = (KeyError, TypeError, AttributeError, ValueError)
"""What reading a record that is none raises."""


@dataclass(frozen=True, eq=False)
class Instance:
    """An annotation: its id, the name of its category, its segmentation (see ``tidy``), or the rectangle of its box.

    keypoints: x, y, visibility, x, ...; none where the annotation has none, or nobody asked for them
    """

    id: Id
    category: str
    segmentation: Any
    keypoints: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Picture:
    """A record of ``images``, with its instances. size: None where none is told. path: once it is looked for."""

    id: Id
    name: str
    size: Size | None
    instances: tuple[Instance, ...]
    path: Path = Path()


@dataclass
class Records:
    """What a json holds of the categories that are wanted.

    categories  name -> its ids in this file
    keypoints   name -> the names of its keypoints, where they were asked for
    pictures    those with an instance, by file name; on request those without any, too
    problems    what cannot be used, though it may be wanted
    fates       name -> how many of its annotations became what: USED, CROWD, STRAY, BAD
    nameless    how many annotations have a category id that is not in the list categories, by that id
    """

    file: Path
    categories: dict[str, list[Id]]
    keypoints: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    fates: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    nameless: Counter[Id] = field(default_factory=Counter)

    def notes(self) -> list[str]:
        """What the user should know of it."""
        crowds = sum(fates[CROWD] for fates in self.fates.values())
        told = [f"{crowds} crowd regions of {self.file.name} are left out"] if crowds else []
        if self.nameless:
            count, example = self.nameless.total(), next(iter(self.nameless))
            told.append(f"{count} annotations have a category_id that the list categories lacks, such as {example}")
        return told

    def refuse(self, where: str, reason: object, pictures: int = 0, instances: int = 0) -> None:
        """Notes a problem and what it costs. where: such as ", annotation 7"."""
        sentence = f"{self.file}{where}: {reason}; fix or remove it"
        self.problems.append(Problem(self.file.name, sentence, pictures, instances))

    def lose(self, *instances: Instance) -> None:
        """Instances that were found to be of no use after all."""
        for instance in instances:
            self.fates[instance.category][USED] -= 1
            self.fates[instance.category][BAD] += 1


def read_records(
    file: Path,
    wanted: Mapping[str, list[str]],
    crowd_as_instances: bool = False,
    bare: bool = False,
    keypoints: bool = False,
) -> Records:
    """wanted: flag -> the names of categories that it gives. Crowd regions are no instances, unless they shall be.

    bare       whether pictures without an annotation of these categories are wanted, too
    keypoints  whether keypoints are wanted; else nobody looks at them

    Raises ``InputError`` for a file that is not in COCO's format, and for a name that it does not know.
    """
    content = _read(file)
    names, records = _category_names(file, content["categories"], wanted), Records(file, {})
    for category, name in names.items():
        records.categories.setdefault(name, []).append(category)
    if keypoints:
        records.keypoints = _keypoint_names(file, content["categories"])
    images, without_id = _by_id(content["images"])
    found: defaultdict[Id, list[Instance]] = defaultdict(list)
    spoiled: set[Id] = set()  # pictures with something bad: nobody shall think that they show nothing
    owners: dict[Id, Id] = {}
    for where, name, record in _annotations(content["annotations"], names, wanted, records):
        try:
            points = _keypoints(record, len(records.keypoints[name])) if records.keypoints.get(name) else ()
            shape = shape_of(record.get("segmentation"), record.get("bbox"))
            instance = Instance(_id(record, "id"), name, shape, points)
            picture, crowd = _id(record, "image_id"), _is_crowd(record)
        except BROKEN as error:
            records.fates[name][BAD] += 1
            records.refuse(where, _reason(error), instances=1)
            spoiled |= _owner(record)
            continue
        if crowd and not crowd_as_instances:
            records.fates[name][CROWD] += 1
        elif picture not in images:
            records.fates[name][STRAY] += 1
            records.refuse(where, f"is of picture {picture}, which is not in the list images{without_id}", instances=1)
        elif instance.id in owners:
            records.fates[name][BAD] += 1
            both = f"(of picture {owners[instance.id]} and of picture {picture})"
            records.refuse(where, f"its id is there twice {both}; give each an id of its own", instances=1)
            spoiled.add(picture)
        else:
            records.fates[name][USED] += 1
            owners[instance.id] = picture
            found[picture].append(instance)
    if bare:
        found.update({image: [] for image in images if image not in found and image not in spoiled})
    for number_, instances in found.items():
        _add_picture(records, number_, images[number_], tuple(instances))
    records.pictures.sort(key=lambda picture: (picture.name, str(picture.id)))
    records.problems.sort(key=lambda problem: -problem.pictures)  # what costs a picture may be the cause of others
    return records


def _owner(record: Any) -> set[Id]:
    """The id of the picture that a broken annotation is of, where it can be told."""
    try:
        return {_id(record, "image_id")}
    except BROKEN:
        return set()


def _add_picture(records: Records, number_: Id, listed: list[Any], instances: tuple[Instance, ...]) -> None:
    """The one picture of an id, or a problem that costs all its instances."""
    try:
        record = listed[0]
        if len(listed) > 1:
            both = " and ".join(repr(str(other.get("file_name"))) for other in listed[:2])
            raise ValueError(f"its id is there twice, for {both}; give each an id of its own")
        name, width, height = record["file_name"], *(side(record.get(key), key) for key in ("width", "height"))
        if not isinstance(name, str):
            raise ValueError(f"its file name {name!r} is no text")
        size = (width, height) if width and height else None
        records.pictures.append(Picture(number_, name, size, instances))
    except BROKEN as error:
        records.lose(*instances)
        records.refuse(f", picture {number_}", _reason(error), 1, len(instances))


def _annotations(
    listed: list[Any], names: Mapping[Id, str], wanted: Mapping[str, list[str]], records: Records
) -> Iterator[tuple[str, str, Any]]:
    """Those of wanted categories: where they are, category, record. One whose category cannot be told is a problem."""
    asked = {name for of_flag in wanted.values() for name in of_flag}
    for place, record in enumerate(listed):
        try:
            category = record["category_id"]
            if type(category) is not int:  # most are, and there may be a million
                category = _id(record, "category_id")
        except BROKEN as error:
            records.refuse(_where(record, place), _reason(error), instances=1)
            continue
        name = names.get(category)
        if name is None:
            records.nameless[category] += 1
        elif name in asked:
            yield _where(record, place), name, record


def _where(record: Any, place: int) -> str:
    try:
        return f", annotation {identity(record['id'])}"
    except BROKEN:
        return f", annotation at place {place} of its list (from 0)"


def _category_names(file: Path, listed: list[Any], wanted: Mapping[str, list[str]]) -> dict[Id, str]:
    """Category id -> name. Categories that nobody asked for may be bad."""
    names: dict[Id, str] = {}
    asked, bad = {name for of_flag in wanted.values() for name in of_flag}, False
    for record in listed:
        try:
            category, name = identity(record["id"]), clean(record["name"])
        except BROKEN:
            bad = True
            continue
        if category in names and {names[category], name} & asked:
            both = f"{names[category]!r} and {name!r}"
            raise InputError(f"{file}: the category id {category} is there twice, for {both}; give each its own")
        names.setdefault(category, name)
    for flag_, of_flag in wanted.items():
        if bad and not set(of_flag) <= set(names.values()):
            raise InputError(f"{file} has a category without name, or whose id is no number; {ADVICE}")
        check_names(of_flag, list(dict.fromkeys(names.values())), flag_, str(file))
    return names


def _keypoint_names(file: Path, listed: list[Any]) -> dict[str, tuple[str, ...]]:
    """Category name -> the names of its keypoints, of those that have some."""
    found: dict[str, tuple[str, ...]] = {}
    for record in listed:
        told = record.get("keypoints") if isinstance(record, dict) else None
        try:
            if told:
                found[clean(record["name"])] = tuple(clean(point) for point in told)
        except BROKEN:
            raise InputError(f"{file}: the keypoints of a category are no list of names; {ADVICE}") from None
    return found


def _keypoints(record: Any, count: int) -> tuple[float, ...]:
    """x, y, visibility of each. Raises ``ValueError`` saying what is wrong."""
    told = record.get("keypoints")
    if not told:
        return ()
    try:
        points = tuple(map(number, told))
    except (TypeError, ValueError) as error:
        raise ValueError(f"has wrong keypoints: {error}") from None
    if len(points) != 3 * count:
        raise ValueError(f"has {len(points)} numbers as keypoints; its category has {count}, which takes {3 * count}")
    return points


def _by_id(listed: list[Any]) -> tuple[dict[Id, list[Any]], str]:
    """Picture id -> the records that have it; and what to add where one is looked for in vain."""
    images: dict[Id, list[Any]] = {}
    without_id = ""
    for record in listed:
        try:
            images.setdefault(_id(record, "id"), []).append(record)
        except BROKEN as error:
            without_id = f" (where one {_reason(error)})"
    return images, without_id


def _id(record: Any, key: str) -> Id:
    value = record[key]
    if type(value) is int:
        return value
    try:
        return identity(value)
    except ValueError as error:
        raise ValueError(f"has a wrong {key}: {error}") from None


def _is_crowd(record: Any) -> bool:
    try:
        return flag(record.get("iscrowd"))
    except ValueError as error:
        raise ValueError(f"has a wrong iscrowd: {error}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"has no {error}"
    return str(error) if isinstance(error, ValueError) else "is no record"


def _read(file: Path) -> dict[str, Any]:
    """The file's content, which has the three lists. Raises ``InputError``."""
    content = read_json(file, ADVICE, _compact)
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise InputError(f"{file} is not in COCO's format: it has no list {key!r}; {ADVICE}")
    return content


def _compact(record: dict[str, Any]) -> dict[str, Any]:
    """Segmentations are made smaller as soon as they are read."""
    if "segmentation" in record:
        record["segmentation"] = tidy(record["segmentation"])
    return record
