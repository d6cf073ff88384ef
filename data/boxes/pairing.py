"""A folder of images and one of annotation files -> which belong together, by their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data.boxes.objects import Found, Object, size_of
from data.placement import Size
from instagan.errors import InputError
from instagan.io.problems import Problem
from instagan.io.reading import PICTURE_ENDINGS
from instagan.io.value_files import NPY

Read = Callable[[Path, Size, Found], list[Object]]
"""An annotation file and the size of its image -> the objects. Raises ``InputError`` for a file that is none."""

NO_OBJECTS = ("classes.txt", "labels.txt", "obj.names")
"""Files of class names that annotation programs put beside their annotations."""


def read_pairs(
    images: Path,
    labels: Path,
    ending: str,
    read: Read,
    found: Found,
    suffixes: tuple[str, str] = ("", ""),
    bare: bool = False,
) -> None:
    """Adds the images of a folder and of those within it, each with the objects of its annotation file.

    labels    a folder of the same inner folders, which may be the same one
    suffixes  what the names of images and of annotation files end in, beside what they share
    bare      an image without annotation file is one without objects; else it is left out, and counted

    Raises ``InputError`` where there is nothing to pair.
    """
    for folder, what in ((images, "images"), (labels, f"{ending} files")):
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; pass the folder of the {what}")
    files = {path for path in labels.rglob(f"*{suffixes[1]}{ending}") if path.name not in NO_OBJECTS}
    paths = [path for path in sorted(images.rglob("*")) if _is_image(path, images, suffixes[0])]
    owners: dict[Path, Path] = {}
    for path in paths:
        place = path.relative_to(images)
        file = labels / place.parent / f"{path.stem.removesuffix(suffixes[0])}{suffixes[1]}{ending}"
        if file in owners:
            sentence = f"{path} and {owners[file].name} would share the annotation {file.name}; rename one of them"
            found.problems.append(Problem(path.name, sentence, pictures=1))
            continue
        owners[file] = path
        if file in files or bare:
            _read_one(path, place.as_posix(), file if file in files else None, read, found)
        else:
            found.left_out["images without annotation file"] += 1
    if not owners.keys() & files:
        example = next((f": looked for {file}, for example" for file in owners), f"; {images} holds no image")
        raise InputError(f"no image of {images} has a {ending} file in {labels}{example}")
    if lonely := len(files - owners.keys()):
        found.left_out["annotation files without image"] += lonely


def _read_one(path: Path, name: str, file: Path | None, read: Read, found: Found) -> None:
    before = len(found.problems)
    objects: list[Object] = []
    size: Size | None = None
    with found.part(str(file or path), pictures=1, instances=0):
        size = size_of(path)
        objects = read(file, size, found) if file else []
    if size and not any(problem.pictures for problem in found.problems[before:]):
        found.add(name, size, objects, before)


def _is_image(path: Path, root: Path, suffix: str) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return (
        path.suffix.lower() in (*PICTURE_ENDINGS, NPY)
        and path.stem.endswith(suffix)
        and not hidden
        and not path.is_dir()
    )
