"""Which pictures are translated, where their masks come from, and where the results go."""

from __future__ import annotations

from argparse import Namespace
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from instagan.cli.finding import detector_for
from instagan.errors import InputError
from instagan.inference.inputs import Picture
from instagan.inference.styles import style_images
from instagan.io.coco import Picture as Annotated
from instagan.io.coco_pictures import CocoPictures, need_instances, read_pictures
from instagan.io.label_maps import instances_of
from instagan.io.problems import Problem
from instagan.io.reading import PICTURE_ENDINGS, Size, list_pictures, read_inside
from instagan.io.segmentations import decode
from instagan.io.value_files import NPY, list_images
from instagan.io.values import Id
from instagan.io.writing import format_of
from instagan.structures.attributes import KEYPOINTS, PARTS

Find = Callable[[Image.Image], Sequence[Picture]]
"""An upright picture -> its masks, as files or arrays."""


@dataclass(frozen=True)
class Job:
    """One picture: how its masks are found, what the translated masks are numbered, where the picture goes.

    numbers: of the masks, in their order; None counts them from 0. inputs: every file that is read. size: width and
    height at which it was annotated, where that is known. instances: how many there are, where that is known.
    annotated: the record of a json in COCO's format that it is of.
    """

    picture: Path
    find: Find
    output: Path
    numbers: tuple[int, ...] | None = None
    inputs: tuple[Path, ...] = ()
    size: Size | None = None
    instances: int = 0
    annotated: Annotated | None = None

    def number(self, place: int) -> int:
        """Of mask ``place`` (from 0)."""
        return self.numbers[place] if self.numbers else place

    def mask_file(self, place: int) -> Path:
        """Where translated mask number ``place`` (from 0) goes."""
        return self.output.with_name(f"{self.output.stem}_mask_{self.number(place)}.png")

    def parts_file(self, place: int) -> Path:
        """Where the label map of its parts goes, of a model of parts."""
        return self.output.with_name(f"{self.output.stem}_parts_{self.number(place)}.png")

    @property
    def keypoints_file(self) -> Path:
        """Where the keypoints of all instances go, of a model of keypoints."""
        return self.output.with_name(f"{self.output.stem}_keypoints.json")

    def in_style(self, style: int | None) -> Job:
        """The job of one of several translations: y.png becomes y_style0.png. None: of the only one."""
        if style is None:
            return self
        return replace(self, output=self.output.with_name(f"{self.output.stem}_style{style}{self.output.suffix}"))

    def files(self, needs: Collection[str] = ()) -> list[Path]:
        """What is written, as far as it is known beforehand. needs: of the model."""
        places = range(len(self.numbers or self.inputs))
        parts = map(self.parts_file, places) if PARTS in needs else ()
        return [self.output, *map(self.mask_file, places), *parts, *[self.keypoints_file] * (KEYPOINTS in needs)]

    def certain_files(self, gives_each: bool) -> list[Path]:
        """What is there once it is translated, as far as that is known. gives_each: each instance becomes a mask."""
        count = (len(self.numbers or ()) or self.instances) if gives_each else 0
        return [*(self.mask_file(place) for place in range(count)), self.output]


@dataclass(frozen=True)
class Jobs:
    """What the flags ask for. problems: bad annotations that are left out. notes: what the user should know.
    categories: name -> its ids in the json."""

    jobs: list[Job]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    categories: Mapping[str, Sequence[Id]] = field(default_factory=dict)


def list_jobs(
    options: Namespace,
    needs_masks: bool,
    styles: Sequence[int | None] = (None,),
    ending: str = ".png",
    needs: Collection[str] = (),
) -> Jobs:
    """What the flags ask for. Raises ``InputError`` naming the flag that is missing, too many, or wrong.

    styles: the numbers of the translations of each picture, see ``Job.in_style``. ending: of files in a folder.
    needs: of the model; with keypoints those of a json are read.
    """
    _check_flags(options, needs_masks)
    keypoints = KEYPOINTS in needs
    if options.annotations:
        found = _coco_single(options, keypoints) if options.image else _coco_folder(options, ending, keypoints)
    else:
        found = Jobs([_single(options)] if options.image else _folder(options, ending))
    jobs = found.jobs
    if not jobs:
        raise InputError(f"--images {options.images} holds no image; pass a folder of {', '.join(PICTURE_ENDINGS)}")
    outputs: dict[Path, Path] = {}
    for job in jobs:
        twin = outputs.setdefault(job.output, job.picture)
        if twin is not job.picture:
            raise InputError(f"{twin} and {job.picture} would both become {job.output}; rename one of them")
    read = {path.resolve(): path for job in jobs for path in (job.picture, *job.inputs)}
    read |= {path.resolve(): path for path in style_images(options)}
    for job in jobs:
        for file in (file for style in styles for file in job.in_style(style).files(needs)):
            if file.resolve() in read:
                raise InputError(f"{file} would be written over the input {read[file.resolve()]}; pass another place")
    return found


def _check_flags(options: Namespace, needs_masks: bool) -> None:
    if bool(options.image) == bool(options.images):
        raise InputError("pass --image FILE for one image or --images DIR for a folder of them")
    if options.image and not options.output:
        raise InputError("--output is missing: pass the file to write, such as --output y.png")
    if options.images and not options.output_dir:
        raise InputError("--output_dir is missing: pass the folder to write to")
    one, many = ("--output", options.output), ("--output_dir", options.output_dir)
    for flag, value in (
        (many, ("--masks_dir", options.masks_dir)) if options.image else (one, ("--masks", options.masks))
    ):
        if value:
            belongs, instead = ("--images", "--image") if options.image else ("--image", "--images")
            raise InputError(f"{flag} belongs to {belongs} and not to {instead}; drop it")
    sources = [name for name in ("masks", "masks_dir", "annotations", "detector") if getattr(options, name)]
    if len(sources) > 1:
        raise InputError(f"--{sources[0]} and --{sources[1]} both tell where the instances are; drop one of them")
    if needs_masks and not sources:
        given = "--masks FILE ..." if options.image else "--masks_dir DIR, --annotations FILE"
        raise InputError(f"there are no masks, and only instances are translated: pass {given} or --detector")
    if sources[:1] in (["annotations"], ["detector"]) and not options.category:
        raise InputError(f"--category is missing: name what --{sources[0]} shall take, such as --category sheep")
    if options.crowd_as_instances and sources[:1] != ["annotations"]:
        raise InputError("--crowd_as_instances belongs to --annotations; drop it")
    if options.category and sources[:1] not in (["annotations"], ["detector"]):
        raise InputError("--category belongs to --annotations or --detector; drop it")


def _single(options: Namespace) -> Job:
    picture, output = _checked_image(options), options.output
    if options.detector:
        return Job(picture, detector_for(options), output)
    masks = tuple(options.masks or ())
    for mask in masks:
        if not mask.is_file():
            raise InputError(f"--masks {mask}: no such file")
    return Job(picture, lambda _: masks, output, inputs=masks)


def _checked_image(options: Namespace) -> Path:
    if options.output.suffix.lower() != NPY:
        format_of(options.output)
    if not options.image.is_file():
        raise InputError(f"--image {options.image}: no such file")
    picture: Path = options.image
    return picture


def _check_images(options: Namespace) -> None:
    if not options.images.is_dir():
        raise InputError(f"--images {options.images}: no such folder; pass a folder of images")


def _folder(options: Namespace, ending: str) -> list[Job]:
    _check_images(options)
    pictures = list_images(options.images)
    places = {picture: options.output_dir / f"{picture.stem}{ending}" for picture in pictures}
    if options.detector:
        find = detector_for(options)
        return [Job(picture, find, place) for picture, place in places.items()]
    if not options.masks_dir:
        return [Job(picture, lambda _: (), place) for picture, place in places.items()]
    if not options.masks_dir.is_dir():
        raise InputError(f"--masks_dir {options.masks_dir}: no such folder; pass the folder of the masks")
    masks = list_pictures(options.masks_dir)
    numbered: defaultdict[str, dict[int, Path]] = defaultdict(dict)
    for mask in masks:
        stem, _, number = mask.stem.rpartition("_")
        if number.isascii() and number.isdecimal():
            numbered[stem][int(number)] = mask
    maps = {mask.stem: mask for mask in masks}
    jobs = [
        _with_masks(picture, place, dict(sorted(numbered[picture.stem].items())), maps)
        for picture, place in places.items()
    ]
    if not any(job.inputs for job in jobs):
        example = f"{pictures[0].stem}_0.png" if pictures else "NAME_0.png"
        raise InputError(f"--masks_dir {options.masks_dir} holds no mask of any image, such as {example}")
    return jobs


def _with_masks(picture: Path, output: Path, numbered: dict[int, Path], maps: dict[str, Path]) -> Job:
    """Masks NAME_0.png, NAME_1.png, ... of NAME, or else a label map NAME.png; a picture may have neither."""
    if numbered or picture.stem not in maps or maps[picture.stem].resolve() == picture.resolve():
        files = tuple(numbered.values())
        return Job(picture, lambda _: files, output, tuple(numbered), files)
    file = maps[picture.stem]

    def find(upright: Image.Image) -> list[Picture]:
        if file.suffix.lower() in (".jpg", ".jpeg"):
            return [read_inside(file)]
        return list(instances_of(file, upright.size).values())

    return Job(picture, find, output, inputs=(file,))


def _coco_single(options: Namespace, keypoints: bool) -> Jobs:
    """The one picture, by what a json tells of it."""
    picture = _checked_image(options)
    found = _read(options, picture.parent, keypoints, only=picture)
    names = ", ".join(options.category)
    if not found.pictures:
        reasons = "".join(f" ({problem.sentence})" for problem in found.records.problems[:1])
        raise InputError(f"--annotations {options.annotations} tells of no {names} in {picture.name}{reasons}")
    return _coco_jobs(found, options, [options.output])


def _coco_folder(options: Namespace, ending: str, keypoints: bool) -> Jobs:
    """The pictures that a json tells of; those that show none of the categories are left out."""
    _check_images(options)
    found = _read(options, options.images, keypoints)
    need_instances([found], {"--category": options.category})
    outputs = [options.output_dir / f"{picture.path.stem}{ending}" for picture in found.pictures]
    return _coco_jobs(found, options, outputs)


def _read(options: Namespace, images: Path, keypoints: bool, only: Path | None = None) -> CocoPictures:
    wanted, crowd = {"--category": options.category}, options.crowd_as_instances
    found = read_pictures(options.annotations, images, wanted, crowd, options.skip_bad, only, keypoints=keypoints)
    named = found.records.keypoints
    if keypoints and (bare := [name for name in options.category if not named.get(name)]):
        raise InputError(f"--annotations {options.annotations} tells no keypoints of {bare[0]}, which the model needs")
    return found


def _coco_jobs(found: CocoPictures, options: Namespace, outputs: Sequence[Path]) -> Jobs:
    jobs = [
        Job(
            one.path, _decoding(one), output,
            inputs=(options.annotations,), size=one.size, instances=len(one.instances), annotated=one,
        )
        for one, output in zip(found.pictures, outputs, strict=True)
    ]  # fmt: skip
    return Jobs(jobs, tuple(found.records.problems), tuple(found.notes()), found.records.categories)


def _decoding(picture: Annotated) -> Find:
    """Segmentations have been checked at the size that the picture is read at."""
    return lambda shown: [decode(instance.segmentation, shown.size) for instance in picture.instances]
