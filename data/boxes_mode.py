"""``--dataset_mode boxes``: images with boxes, where ``scripts/prepare_boxes.py`` and its kin have listed them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from data.boxes.writing import Listed, read_index
from data.coco_mode import CocoMask, left_out
from data.entries import FORMAT_FLAGS, Domain, Entry, add_formats
from data.preparing.coco_masks import CocoAnnotation
from data.preparing.names import distinct_names
from data.preparing.tasks import Category
from instagan.errors import InputError
from instagan.io.coco_pictures import CocoPictures, read_pictures
from instagan.io.formats import formats_of
from instagan.io.optional import need


class BoxFolder:
    """Both domains have the same categories, and images without any object belong to them."""

    inherited: tuple[str, ...] = (*FORMAT_FLAGS, "skip_bad")

    def add_options(self, parser: ArgumentParser) -> None:
        group = parser.add_argument_group("boxes")
        group.add_argument("--dataroot", metavar="DIR", help="folder of boxes.json, trainA.json, trainB.json, ...")
        add_formats(group.add_argument)
        if "--skip_bad" not in parser._option_string_actions:  # train.py has it for all modes
            group.add_argument("--skip_bad", action="store_true", help="skip bad annotations, and name them")

    def check(self, options: Namespace) -> None:
        if options.dataroot is None:
            raise InputError("--dataroot is missing: pass the folder that holds boxes.json")

    def list_domains(self, options: Namespace, letters: str) -> dict[str, Domain]:
        need("pycocotools.mask", "pycocotools", "--dataset_mode boxes")
        root, phase = Path(options.dataroot), options.phase
        index = read_index(root)
        formats = formats_of(vars(options))
        domains = {}
        for letter in letters:
            listed = listed_set(index, root, f"{phase}{letter}")
            found = read_set(listed, options.skip_bad)
            domain = Domain(f"{phase}{letter}", entries_of(found, listed), categories_of(listed))
            domain = domain.with_format(formats[letter])
            for note in (*found.notes(), *left_out(found.records.problems, listed.annotations)):
                domain = domain.with_note(note)
            domains[letter] = domain
        return domains

    def instances_advice(self, options: Namespace) -> str:
        return f"list boxes of other classes: prepare {options.dataroot} again with --classes"


def listed_set(index: dict[str, Listed], root: Path, name: str) -> Listed:
    """The set of this name. Raises ``InputError`` where there is none, or its images are gone."""
    if name not in index:
        raise InputError(
            f"{root} has no set {name}, only {', '.join(index) or 'none'}; prepare it, or choose another phase"
        )
    if not index[name].images.is_dir():
        told = f"{root / 'boxes.json'} says that the images of {name} are in {index[name].images}, which is no folder"
        raise InputError(f"{told}; put them back, correct boxes.json, or prepare the set again")
    return index[name]


def read_set(listed: Listed, skip_bad: bool) -> CocoPictures:
    """Raises ``InputError`` for a set without an image, and without ``skip_bad`` for the first thing that is bad."""
    wanted = {"--dataroot": list(listed.categories)}
    found = read_pictures(listed.annotations, listed.images, wanted, skip_bad=skip_bad, bare=True)
    if not found.pictures:
        absent = f"; {found.notes()[0]}" if found.absent else ""
        raise InputError(f"{listed.annotations} lists no image that can be used{absent}; prepare the set again")
    return found


def entries_of(found: CocoPictures, listed: Listed) -> list[Entry]:
    """An entry for every image, also for those without objects; labels are places among the categories."""
    entries = []
    sources = [picture.path.relative_to(listed.images).as_posix() for picture in found.pictures]
    for picture, name in zip(found.pictures, distinct_names(sources), strict=True):
        labels = [listed.categories.index(instance.category) for instance in picture.instances]
        masks = tuple(
            CocoMask(
                CocoAnnotation(str(listed.annotations), picture.size, ((one.id, label, one.segmentation),)), number
            )
            for number, (one, label) in enumerate(zip(picture.instances, labels, strict=True))
        )
        entries.append(Entry(picture.path, masks, picture.size, name, picture.id))
    return entries


def categories_of(listed: Listed) -> dict[str, tuple[Category, ...]]:
    """Of both domains; numbers as the json has them."""
    both = tuple(Category(name, number) for number, name in enumerate(listed.categories, 1))
    return {"A": both, "B": both}
