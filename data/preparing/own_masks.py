"""A user's own pictures with label maps, LabelMe, VIA or YOLO annotations -> plan."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data.preparing.categories import check_apart
from data.preparing.digests import digest
from data.preparing.label_maps import LabelMapAnnotation
from data.preparing.parallel import in_order
from data.preparing.shape_files import Drawing, Fault, other_attributes, read_labelme, read_via, read_yolo
from data.preparing.shapes import ShapesAnnotation
from data.preparing.splitting import validation_part
from data.preparing.tasks import Annotation, Category, Draft, Plan
from instagan.errors import InputError
from instagan.io.categories import check_names
from instagan.io.locating import leads_out, locate, place_of
from instagan.io.problems import Problem
from instagan.io.reading import LOSSY, PICTURE_ENDINGS

FORMATS = ("label_maps", "labelme", "via", "yolo")
ENDINGS = {"label_maps": (".png", ".tif", ".tiff", ".bmp", ".gif"), "labelme": (".json",), "yolo": (".txt",)}
"""Of annotation files, the likeliest first."""

IMAGES, MASKS = {"A": "--images1", "B": "--images2"}, {"A": "--masks1", "B": "--masks2"}

Progress = Callable[[Iterable[Drawing], int], Iterable[Drawing]]


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
    ignored      values of a label map that are nobody, from the first to the last of each range
    classes      YOLO's class names by number, if known
    attribute    VIA's region attribute that holds the label
    image_suffix, mask_suffix   what the names of a picture and of its annotation end in, beside what they share
    """

    format: str
    names: dict[str, list[str]] | None = None
    ignored: tuple[tuple[int, int], ...] = ()
    classes: tuple[str, ...] = ()
    attribute: str | None = None
    image_suffix: str = ""
    mask_suffix: str = ""


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
    ignored = [first if first == last else f"{first}-{last}" for first, last in reading.ignored]
    source |= {"ignored": ignored, "classes": list(reading.classes), "attribute": reading.attribute}
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
                raise InputError(plan.problems[0].sentence)
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
    """Pictures with their annotation files; says what has no partner. Raises ``InputError`` if no picture has one."""
    letter = side.domains[0]
    pictures = list_pictures(side.images, IMAGES[letter])
    endings = ENDINGS[reading.format]
    if not side.masks.is_dir():
        raise InputError(f"{MASKS[letter]} {side.masks}: no such folder; pass that of the {endings[0]} files")
    if side.masks.resolve() == side.images.resolve() and reading.format == "label_maps":
        raise InputError(f"{side.masks} holds the pictures; label maps need a folder of their own")
    if reading.format == "label_maps":
        endings = (*endings, *LOSSY)  # which are refused by name
    listed = [path for path in sorted(side.masks.iterdir()) if path.suffix.lower() in endings]
    listed.sort(key=lambda path: endings.index(path.suffix.lower()), reverse=True)  # of equal names the likeliest last
    files = {key: path for path in listed if (key := _key(path, reading.mask_suffix)) is not None}
    pairs, bare = [], []
    seen: dict[str, Path] = {}
    for picture in pictures:
        key = _key(picture, reading.image_suffix)
        if key in seen:
            sentence = f"{picture} and {seen[key].name} would share an annotation; rename one of them"
            plan.problems.append(Problem(picture.name, sentence, pictures=1))
        elif key in files:
            seen[key] = picture
            pairs.append((picture, files.pop(key)))
        else:
            bare.append(picture)
    left = sorted(files.values())
    if not pairs:
        raise InputError(f"{MASKS[letter]} {side.masks}: {_unpaired(pictures, listed, reading)}")
    for names, what in ((bare, "pictures without annotation"), (left, "annotations")):
        if names:
            where = side.images if names is bare else f"{side.masks} without picture"
            plan.notes.append(f"{len(names)} {what} in {where}, for example {names[0].name}")
    return pairs


def _key(path: Path, suffix: str) -> str | None:
    """What the names of a picture and of its annotation have in common; None for a name without the suffix."""
    return path.stem.removesuffix(suffix) if path.stem.endswith(suffix) else None


def _unpaired(pictures: Sequence[Path], files: Sequence[Path], reading: Reading) -> str:
    """Why no picture has an annotation: the name that was looked for, and what is there instead."""
    ending = ENDINGS[reading.format][0]
    named = next((path for path in pictures if _key(path, reading.image_suffix) is not None), None)
    if named is None:
        return f"no picture has a name that ends in {reading.image_suffix!r}; pass another --image_suffix"
    expected = f"{_key(named, reading.image_suffix)}{reading.mask_suffix}{ending}"
    told = f"no picture has an annotation there: looked for {expected}, for example, to the picture {named.name}"
    if not files:
        return f"{told}; the folder holds no {ending} file"
    common, path = max((os.path.commonprefix([named.stem, path.stem]), path) for path in files)
    told += f"; {path.name} is there, and is of no picture"
    if not common:
        return f"{told}; give both the same name"
    suffixes = f"--image_suffix={named.stem[len(common) :]} --mask_suffix={path.stem[len(common) :]}"
    return f"{told}; give both the same name, or pass what the names end in: {suffixes}"


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
    elsewhere = ""
    if reading.format == "via":
        drawn, elsewhere = _via(side, reading, plan)
    else:
        pairs = _annotated(side, reading, plan)
        read = partial(_read_shapes, reading=reading)
        files = progress(in_order(read, [path for _, path in pairs], workers), len(pairs))
        drawn = [(picture, path, file) for (picture, path), file in zip(pairs, files, strict=True)]
    drafts = []
    labels: set[str] = set()
    for picture, path, drawing in drawn:
        labels.update(shape.label for shape in drawing.shapes)
        labels.update(fault.label for fault in drawing.faults if fault.label is not None)
        domains = _of_domains(path, drawing, side, reading, plan)
        if domains:
            source = f"{side.images.name}/{picture.relative_to(side.images).as_posix()}"
            drafts.append(Draft(picture, source, domains))
    if unlabelled := sum(not shape.label for _, _, drawing in drawn for shape in drawing.shapes):
        plan.notes.append(f"{unlabelled} shapes in {side.masks} have no label")
    for domain in side.domains:
        if reading.names is not None:
            _check_labels(reading.names[domain], labels, domain, side, elsewhere, plan)
    return drafts


def _of_domains(path: Path, drawing: Drawing, side: Side, reading: Reading, plan: Plan) -> dict[str, Annotation]:
    """The picture's annotation for each domain that it shows; what is bad and may be asked for becomes a problem."""
    if drawing.problem:
        plan.problems.append(Problem(path.name, drawing.problem, pictures=1))
        return {}
    domains: dict[str, Annotation] = {}
    faults: dict[Fault, None] = {}
    for domain in side.domains:
        wanted = None if reading.names is None else {name: i for i, name in enumerate(reading.names[domain])}
        bad = [fault for fault in drawing.faults if wanted is None or fault.label is None or fault.label in wanted]
        lost = {(fault.instance, fault.label) for fault in bad}  # with one bad part an instance is wrong as a whole
        chosen = tuple(
            shape
            for shape in drawing.shapes
            if (wanted is None or shape.label in wanted) and (shape.instance, shape.label) not in lost
        )
        faults |= dict.fromkeys(bad)
        if chosen:
            domains[domain] = ShapesAnnotation(str(path), chosen, wanted, drawing.size)
    for place, fault in enumerate(faults):
        plan.problems.append(Problem(path.name, fault.sentence, int(not domains and place == 0), 1))
    return domains


def _check_labels(
    names: Sequence[str], labels: set[str], domain: str, side: Side, elsewhere: str, plan: Plan
) -> None:
    """Raises ``InputError`` for a name that no shape has; where something was bad, that comes first."""
    try:
        check_names(names, sorted(labels - {""}), "--cat1" if domain == "A" else "--cat2", str(side.masks))
    except InputError as error:
        if plan.problems:
            raise InputError(f"{plan.problems[0].sentence} (without what is bad, {error})") from None
        raise InputError(f"{error}{elsewhere}") from None


def _via(side: Side, reading: Reading, plan: Plan) -> tuple[list[tuple[Path, Path, Drawing]], str]:
    """Pictures with the file and what is drawn on them, and what to add where a label is not found."""
    file = read_via(side.masks, reading.attribute)
    drawn = []
    for name, drawing in sorted(file.pictures.items()):
        path = locate(side.images, name)
        if path is None and leads_out(name):
            sentence = f"{side.masks}: the file name {name!r} leads out of {side.images}, and its end is not in there"
            plan.problems.append(Problem(side.masks.name, f"{sentence}; fix or remove it", 1, len(drawing.shapes)))
        else:
            drawn.append((path or place_of(side.images, name), side.masks, drawing))
    return drawn, other_attributes(file, reading.attribute)


def _read_shapes(path: Path, reading: Reading) -> Drawing:
    try:
        return read_labelme(path) if reading.format == "labelme" else read_yolo(path, reading.classes)
    except InputError as error:
        return Drawing(problem=str(error))


def _described(side: Side) -> dict[str, Any]:
    described = {"images": str(side.images), "masks": str(side.masks), "domains": list(side.domains)}
    return described | ({"sha256": digest(side.masks)} if side.masks.is_file() else {})
