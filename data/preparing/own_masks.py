"""A user's own pictures with label maps, LabelMe, VIA or YOLO annotations -> plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from data.folders import PICTURE_ENDINGS
from data.placement import Size
from data.preparing.categories import check_apart
from data.preparing.digests import digest
from data.preparing.label_maps import LabelMapAnnotation
from data.preparing.parallel import in_order
from data.preparing.shape_files import read_labelme, read_via, read_yolo
from data.preparing.shapes import Shape, ShapesAnnotation
from data.preparing.splitting import validation_part
from data.preparing.tasks import Annotation, Category, Draft, Plan
from instagan.errors import InputError
from instagan.io.categories import check_names
from instagan.io.reading import LOSSY

FORMATS = ("label_maps", "labelme", "via", "yolo")
ENDINGS = {"label_maps": ".png", "labelme": ".json", "yolo": ".txt"}

ShapeFile = tuple[list[Shape], Size | None, str]
"""What one annotation file holds: shapes, the size they were drawn at, what is wrong with it ("" if nothing)."""
Progress = Callable[[Iterable[ShapeFile], int], Iterable[ShapeFile]]


@dataclass(frozen=True)
class Side:
    """Where pictures and their annotations are, and which domains they serve. masks: a folder; for VIA a file."""

    images: Path
    masks: Path
    domains: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """How annotations are read.

    names        domain -> category names to take; None takes everything as one category
    ignored      values of a label map that are nobody
    classes      YOLO's class names by number, if known
    attribute    VIA's region attribute that holds the label
    """

    format: str
    names: dict[str, list[str]] | None = None
    ignored: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    attribute: str | None = None


def plan_own(
    sides: Sequence[Side], reading: Reading, val_share: float, seed: int, workers: int, progress: Progress
) -> Plan:
    """Reads all outlines once; label maps only when their picture is written. Raises ``InputError``."""
    if reading.names is not None:
        check_apart(reading.names["A"], reading.names["B"])
    source = {
        "kind": reading.format,
        "sides": [_described(side) for side in sides],
        "seed": seed,
        "val_share": val_share,
    }
    source |= {"ignored": list(reading.ignored), "classes": list(reading.classes), "attribute": reading.attribute}
    plan = Plan(source, categories_of(reading.names))
    drafts: list[Draft] = []
    for side in sides:
        if reading.format == "label_maps":
            drafts.extend(_label_maps(side, reading, plan))
        else:
            drafts.extend(_outlined(side, reading, plan, workers, progress))
    add_split(plan, drafts, val_share, seed)
    return plan


def categories_of(names: dict[str, list[str]] | None) -> dict[str, list[Category]]:
    if names is None:
        return {"A": [Category("any")], "B": [Category("any")]}
    return {domain: [Category(name) for name in of_domain] for domain, of_domain in names.items()}


def add_split(plan: Plan, drafts: list[Draft], val_share: float, seed: int) -> None:
    """Adds the phases train and val. Raises ``InputError`` for a domain without any picture."""
    for domain, categories in plan.categories.items():
        if not any(domain in draft.domains for draft in drafts):
            if plan.problems:
                raise InputError(plan.problems[0][1])
            names = ", ".join(category.name for category in categories)
            raise InputError(
                f"no picture of domain {domain} ({names}) is annotated; check the folders and --cat1, --cat2"
            )
    validates = validation_part(["".join(draft.domains) for draft in drafts], val_share, seed)
    plan.add("train", [draft for draft, chosen in zip(drafts, validates, strict=True) if not chosen])
    plan.add("val", [draft for draft, chosen in zip(drafts, validates, strict=True) if chosen])


def list_pictures(folder: Path, flag: str) -> list[Path]:
    """The pictures of a folder sorted by name, links that lead nowhere included. Raises ``InputError`` if none."""
    try:
        paths = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_ENDINGS]
    except OSError as error:
        raise InputError(f"{flag} {folder} cannot be read ({error.strerror}); pass a folder of pictures") from None
    paths = sorted(path for path in paths if not path.name.startswith(".") and not path.is_dir())
    if not paths:
        raise InputError(f"{flag} {folder} holds no picture; put {', '.join(PICTURE_ENDINGS)} files there")
    return paths


def _annotated(side: Side, reading: Reading, plan: Plan) -> list[tuple[Path, Path]]:
    """Pictures with their annotation files; says what has no partner."""
    flag = "--images1" if "A" in side.domains else "--images2"
    pictures = list_pictures(side.images, flag)
    ending = ENDINGS[reading.format]
    if not side.masks.is_dir():
        raise InputError(
            f"{flag.replace('images', 'masks')} {side.masks}: no such folder; pass that of the {ending} files"
        )
    endings = (*LOSSY, ending) if reading.format == "label_maps" else (ending,)  # those of JPEG to be refused by name
    found = [path for path in sorted(side.masks.iterdir()) if path.suffix.lower() in endings]
    files = {path.stem: path for path in sorted(found, key=lambda path: path.suffix.lower() == ending)}
    if side.masks.resolve() == side.images.resolve() and reading.format == "label_maps":
        raise InputError(f"{side.masks} holds the pictures; label maps need a folder of their own")
    pairs, bare = [], []
    seen: dict[str, Path] = {}
    for picture in pictures:
        if picture.stem in seen:
            sentence = f"{picture} and {seen[picture.stem].name} would share an annotation; rename one of them"
            plan.problems.append((picture.name, sentence))
            continue
        seen[picture.stem] = picture
        if picture.stem in files:
            pairs.append((picture, files.pop(picture.stem)))
        else:
            bare.append(picture.name)
    for names, what in ((bare, "pictures without annotation"), ([path.name for path in files.values()], "annotations")):
        if names:
            where = side.images if names is bare else f"{side.masks} without picture"
            plan.notes.append(f"{len(names)} {what} in {where}, for example {names[0]}")
    return pairs


def _label_maps(side: Side, reading: Reading, plan: Plan) -> list[Draft]:
    if reading.names is not None and any(len(names) != 1 for names in reading.names.values()):
        raise InputError("--cat1 and --cat2 give the domains of label maps one name each; a map tells no categories")
    drafts = []
    for picture, path in _annotated(side, reading, plan):
        domains: dict[str, Annotation] = {domain: LabelMapAnnotation(path, reading.ignored) for domain in side.domains}
        drafts.append(Draft(picture, f"{side.images.name}/{picture.name}", domains))
    return drafts


def _outlined(side: Side, reading: Reading, plan: Plan, workers: int, progress: Progress) -> list[Draft]:
    """Drafts from outlines; a picture is in a domain if it shows one of the domain's categories."""
    if reading.format == "via":
        drawn = [(side.images / name, side.masks, (shapes, None, "")) for name, shapes in _via(side, reading).items()]
    else:
        pairs = _annotated(side, reading, plan)
        read = partial(_read_shapes, reading=reading)
        files = progress(in_order(read, [path for _, path in pairs], workers), len(pairs))
        drawn = [(picture, path, file) for (picture, path), file in zip(pairs, files, strict=True)]
    drafts = []
    labels: set[str] = set()
    for picture, path, (shapes, size, problem) in drawn:
        if problem:
            plan.problems.append((path.name, problem))
            continue
        labels.update(shape.label for shape in shapes)
        domains: dict[str, Annotation] = {}
        for domain in side.domains:
            wanted = None if reading.names is None else {name: i for i, name in enumerate(reading.names[domain])}
            chosen = tuple(shape for shape in shapes if wanted is None or shape.label in wanted)
            if chosen:
                domains[domain] = ShapesAnnotation(str(path), chosen, wanted, size)
        if domains:
            drafts.append(Draft(picture, f"{side.images.name}/{picture.name}", domains))
    for domain in side.domains:
        if reading.names is not None:
            flag = "--cat1" if domain == "A" else "--cat2"
            check_names(reading.names[domain], sorted(labels), flag, str(side.masks))
    return drafts


def _via(side: Side, reading: Reading) -> dict[str, list[Shape]]:
    pictures = read_via(side.masks, reading.attribute)
    for name in pictures:
        if Path(name).name != name:
            raise InputError(
                f"{side.masks}: the picture {name!r} is not a plain file name; keep pictures in one folder"
            )
    return dict(sorted(pictures.items()))


def _read_shapes(path: Path, reading: Reading) -> ShapeFile:
    try:
        if reading.format == "labelme":
            return (*read_labelme(path), "")
        return [_named(shape, reading.classes) for shape in read_yolo(path)], None, ""
    except InputError as error:
        return [], None, str(error)


def _named(shape: Shape, classes: Sequence[str]) -> Shape:
    number = int(shape.label)
    return replace(shape, label=classes[number]) if 0 <= number < len(classes) else shape


def _described(side: Side) -> dict[str, Any]:
    described = {"images": str(side.images), "masks": str(side.masks), "domains": list(side.domains)}
    return described | ({"sha256": digest(side.masks)} if side.masks.is_file() else {})
