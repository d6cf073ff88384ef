"""Which pictures are translated, where their masks come from, and where the results go."""

from __future__ import annotations

from argparse import Namespace
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from instagan.cli.finding import detector_for
from instagan.errors import InputError
from instagan.inference.inputs import Picture
from instagan.io.coco import Annotated, read_annotated
from instagan.io.label_maps import instances_of
from instagan.io.reading import read_inside
from instagan.io.writing import format_of

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")

Find = Callable[[Image.Image], Sequence[Picture]]
"""An upright picture -> its masks, as files or arrays."""


@dataclass(frozen=True)
class Job:
    """One picture: how its masks are found, what the translated masks are numbered, where the picture goes.

    numbers: of the masks, in their order; None counts them from 0. inputs: every file that is read.
    """

    picture: Path
    find: Find
    output: Path
    numbers: tuple[int, ...] | None = None
    inputs: tuple[Path, ...] = ()

    def mask_file(self, place: int) -> Path:
        """Where translated mask number ``place`` (from 0) goes."""
        number = self.numbers[place] if self.numbers else place
        return self.output.with_name(f"{self.output.stem}_mask_{number}.png")


def list_jobs(options: Namespace, needs_masks: bool) -> list[Job]:
    """What the flags ask for. Raises ``InputError`` naming the flag that is missing, too many, or wrong."""
    _check_flags(options, needs_masks)
    jobs = [_single(options)] if options.image else _folder(options)
    if not jobs:
        raise InputError(f"--images {options.images} holds no picture; pass a folder of {', '.join(PICTURE_ENDINGS)}")
    outputs: dict[Path, Path] = {}
    for job in jobs:
        twin = outputs.setdefault(job.output, job.picture)
        if twin is not job.picture:
            raise InputError(f"{twin} and {job.picture} would both become {job.output}; rename one of them")
    read = {path.resolve(): path for job in jobs for path in (job.picture, *job.inputs)}
    for job in jobs:
        for file in (job.output, *(job.mask_file(place) for place in range(len(job.numbers or job.inputs)))):
            if file.resolve() in read:
                raise InputError(f"{file} would be written over the input {read[file.resolve()]}; pass another place")
    return jobs


def _check_flags(options: Namespace, needs_masks: bool) -> None:
    if bool(options.image) == bool(options.images):
        raise InputError("pass --image FILE for one picture or --images DIR for a folder of them")
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
    if options.category and sources[:1] not in (["annotations"], ["detector"]):
        raise InputError("--category belongs to --annotations or --detector; drop it")


def _single(options: Namespace) -> Job:
    picture, output = options.image, options.output
    format_of(output)
    if not picture.is_file():
        raise InputError(f"--image {picture}: no such file")
    if options.annotations:
        found = {job.picture: job for job in _annotated(options, picture.parent, output.parent)}
        if picture not in found:
            raise InputError(f"--annotations {options.annotations} tells of no {options.category} in {picture.name}")
        return Job(picture, found[picture].find, output)
    if options.detector:
        return Job(picture, detector_for(options), output)
    masks = tuple(options.masks or ())
    for mask in masks:
        if not mask.is_file():
            raise InputError(f"--masks {mask}: no such file")
    return Job(picture, lambda _: masks, output, inputs=masks)


def _folder(options: Namespace) -> list[Job]:
    if not options.images.is_dir():
        raise InputError(f"--images {options.images}: no such folder; pass a folder of pictures")
    if options.annotations:
        return _annotated(options, options.images, options.output_dir)
    pictures = list_pictures(options.images)
    places = {picture: options.output_dir / f"{picture.stem}.png" for picture in pictures}
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
        raise InputError(f"--masks_dir {options.masks_dir} holds no mask of any picture, such as {example}")
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


def _annotated(options: Namespace, images: Path, output: Path) -> list[Job]:
    """The pictures that a json tells of; those that show none of the categories are left out."""
    found = read_annotated(options.annotations, options.category)
    if not found:
        raise InputError(f"--category: {options.annotations} has no instance of {', '.join(options.category)}")
    return [
        Job(images / one.name, _decoding(one), output / f"{Path(one.name).stem}.png", inputs=(options.annotations,))
        for one in found
    ]


def _decoding(annotated: Annotated) -> Find:
    return lambda upright: annotated.inside(upright.size)


def list_pictures(folder: Path) -> list[Path]:
    """The picture files of a folder, by name."""
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_ENDINGS and path.is_file()]
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}); pass another folder") from None
    return sorted(path for path in found if not path.name.startswith("."))
