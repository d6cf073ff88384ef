"""A json in COCO's format and the folder of its pictures -> the pictures and instances that can be used.

Which they are, and what is said of the others, is decided here for preparing, training and translating alike.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from instagan.errors import InputError
from instagan.io.coco import BAD, CROWD, STRAY, USED, Instance, Picture, Records, read_records
from instagan.io.locating import leads_out, locate, place_of
from instagan.io.problems import refuse
from instagan.io.reading import Size
from instagan.io.segmentations import Rectangle, check, size_of_runs
from instagan.io.value_files import image_size

NAMED = 5
"""Absent pictures that are named."""


@dataclass(frozen=True)
class CocoPictures:
    """pictures: with path, size and at least one instance that can be decoded, or on request those without any, too.
    absent: their files are not there."""

    images: Path
    records: Records
    pictures: tuple[Picture, ...]
    absent: tuple[Picture, ...]

    def notes(self) -> list[str]:
        """What the user should know."""
        names = [picture.name for picture in self.absent]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        absent = f"{len(names)} listed pictures are absent: {', '.join(names[:NAMED])}{more}"
        return [*([absent] if names else []), *self.records.notes(), *self.notes_on_boxes()]

    def notes_on_boxes(self) -> list[str]:
        """A sentence on the instances that have a box and no segmentation; none if there are none."""
        instances = [instance for picture in self.pictures for instance in picture.instances]
        count = sum(isinstance(instance.segmentation, Rectangle) for instance in instances)
        of_all = f"{count} of {len(instances)} instances in {self.records.file.name}"
        return [f"{of_all} have a box and no segmentation: their masks are rectangles"] if count else []


def read_pictures(
    file: Path,
    images: Path,
    wanted: Mapping[str, list[str]],
    crowd_as_instances: bool = False,
    skip_bad: bool = False,
    only: Path | None = None,
    bare: bool = False,
    keypoints: bool = False,
) -> CocoPictures:
    """wanted: flag -> names of categories. only: this file of ``images``, where no other is of interest.
    bare: pictures that have no annotation of these categories are wanted, too. keypoints: keypoints are wanted.
    skip_bad    leaves out the smallest part that is bad, an annotation if it can be, and notes it in the problems of
                ``records``. Without it the first of them is raised as ``InputError``
    """
    records = read_records(file, wanted, crowd_as_instances, bare, keypoints)
    found = {picture: locate(images, picture.name) for picture in records.pictures}
    names: defaultdict[Path | None, set[str]] = defaultdict(set)
    for picture, path in found.items():
        names[path].add(picture.name)
    there: list[Picture] = []
    absent: list[Picture] = []
    for picture, path in found.items():
        expected = place_of(images, picture.name)
        reason = ""
        if path is None and leads_out(picture.name):
            reason = f"the file name {picture.name!r} leads out of {images}, and its end is not in there"
        elif path and path != expected and len(names[path]) > 1:
            both = " and ".join(map(repr, sorted(names[path])[:2]))
            reason = f"{both} would both be {path}; put them into folders as their names say"
        if reason:
            _lose(records, picture, reason)
        elif only in (None, path):
            (there if path else absent).append(replace(picture, path=path or expected))
    checked = [(picture, _checked(picture, records)) for picture in there]
    usable = [kept for listed, kept in checked if kept.instances or (kept.size and not listed.instances)]
    if not skip_bad:
        refuse(records.problems)
    return CocoPictures(images, records, tuple(usable), tuple(absent))


def need_instances(parts: Sequence[CocoPictures], wanted: Mapping[str, list[str]]) -> None:
    """Raises ``InputError`` for a flag none of whose categories has an instance left in any of the parts: tells why."""
    for flag, names in wanted.items():
        if not any(shows(picture, names) for part in parts for picture in part.pictures):
            raise InputError(f"{flag}: {_why_nothing(parts, names)}")


def shows(picture: Picture, names: Sequence[str]) -> bool:
    return any(instance.category in names for instance in picture.instances)


def _lose(records: Records, picture: Picture, reason: str) -> None:
    records.lose(*picture.instances)
    records.refuse(f", picture {picture.id}", reason, 1, len(picture.instances))


def _checked(picture: Picture, records: Records) -> Picture:
    """With its size, and without the instances that cannot be decoded. Sizes that nobody tells are the file's."""
    try:
        size = picture.size or _size_in_file(picture)
    except InputError as error:
        _lose(records, picture, str(error))
        return replace(picture, instances=())
    good: list[Instance] = []
    bad: list[tuple[Instance, str]] = []
    for instance in picture.instances:
        try:
            check(instance.segmentation, size)
            good.append(instance)
        except ValueError as error:
            bad.append((instance, str(error)))
    for place, (instance, reason) in enumerate(bad):
        records.lose(instance)
        records.refuse(f", annotation {instance.id}", reason, int(not good and place == 0), 1)
    return replace(picture, size=size, instances=tuple(good))


def _size_in_file(picture: Picture) -> Size:
    """Upright, or as stored where runs are for that."""
    size = image_size(picture.path)
    runs = {size_of_runs(instance.segmentation) for instance in picture.instances}
    return size[::-1] if size not in runs and size[::-1] in runs else size


def _why_nothing(parts: Sequence[CocoPictures], names: Sequence[str]) -> str:
    files, of_names = ", ".join(str(part.records.file) for part in parts), ", ".join(names)
    fates: Counter[str] = Counter()
    for part in parts:
        for name in names:
            fates.update(part.records.fates[name])
    total = fates.total()
    if not total:
        nameless = [f" ({note})" for part in parts for note in part.records.notes() if "category_id" in note]
        return f"{files} has no instance of {of_names}; choose another category{''.join(nameless)}"
    if fates[USED]:
        absent = [picture for part in parts for picture in part.absent if shows(picture, names)]
        folders = ", ".join(str(part.images) for part in parts)
        told = f"none of the {len(absent)} pictures of {of_names} that {files} lists is in {folders}, for example "
        others = _listed({fate: fates[fate] for fate in (CROWD, STRAY, BAD) if fates[fate]})
        return f"{told}{absent[0].path}{f' ({others})' if others else ''}; pass the folder that holds them"
    cures = {
        CROWD: "set iscrowd to 0, or take crowd regions as instances with --crowd_as_instances",
        STRAY: "add these pictures to the list images, or correct image_id",
        BAD: "fix them",
    }
    reasons = {fate: fates[fate] for fate in cures if fates[fate]}
    first = next((problem.sentence for part in parts for problem in part.records.problems), "")
    first = f" (the first: {first})" if reasons.keys() - {CROWD} else ""
    if len(reasons) == 1:
        (reason,) = reasons
        every = f"all {total} instances" if total > 1 else "the only instance"
        return f"{every} of {of_names} in {files} {'are' if total > 1 else 'is'} {reason}{first}; {cures[reason]}"
    cure = cures[max(reasons, key=reasons.__getitem__)]
    return f"no instance of {of_names} in {files} can be used: of {total}, {_listed(reasons)}{first}; {cure}"


def _listed(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {'is' if count == 1 else 'are'} {reason}" for reason, count in reasons.items())
