"""translate --save_coco: ``annotations.json``, the translated pictures with what their source was labelled with.

images       NAME.png with the picture that it was made from: source_file_name, source_image_id; and its style
annotations  one for each instance, with source_annotation_id and source_category. Where the method translates
             instances its mask is the translated one, mask_file, and an empty one is left out; else shape and box are
             those of the source
categories   those of --category, or --target_category, or what --targets asked for
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from instagan.cli.jobs import Job, Jobs
from instagan.errors import InputError
from instagan.io.coco import Instance
from instagan.io.coco_records import FILE_NAME, Record, category_records, shape_of_instance, shape_of_mask
from instagan.io.problems import counted
from instagan.io.reading import Size
from instagan.io.writing import write_whole


def left_out(job: Job) -> Path:
    """A file that says, for the other processes, why --skip_bad has left out a picture."""
    return job.output.with_name(f".{job.output.name}.skipped")


def note_left_out(job: Job, reason: str | None) -> None:
    """reason: None where the picture has been translated after all."""
    if reason is None:
        left_out(job).unlink(missing_ok=True)
    else:
        write_whole(left_out(job), lambda scratch: scratch.write_text(reason + "\n", encoding="utf-8"))


def write_annotations(
    options: Namespace, listed: Jobs, styles: Sequence[int | None], gives_each: bool, description: str
) -> str | None:
    """Writes the file whole, the same whoever writes it, and returns a line on it; None where a picture is still
    missing, which another process is at. gives_each: whether every instance becomes a mask of its own."""
    folder: Path = options.output_dir
    there = {path.name for path in folder.iterdir()}
    done = [job for job in listed.jobs if left_out(job).name not in there]
    needed = (file for job in done for style in styles for file in job.in_style(style).certain_files(gives_each))
    if not all(file.name in there for file in needed):
        return None
    try:
        content, empty = _content(options, listed, done, styles, gives_each, description)
    except (OSError, SyntaxError):  # a broken one of an earlier run, which is about to be made again
        return None
    path = folder / FILE_NAME
    write_whole(path, lambda scratch: scratch.write_text(json.dumps(content), encoding="utf-8"))
    told = f"{counted(len(content['images']), 'picture')}, {counted(len(content['annotations']), 'instance')}"
    return f"{path}: {told}" + (f"; {empty} translated masks are empty and left out" if empty else "")


def _content(
    options: Namespace, listed: Jobs, jobs: Sequence[Job], styles: Sequence[int | None], gives_each: bool, about: str
) -> tuple[Record, int]:
    """What is written, and how many masks are empty."""
    asked = [options.target_category] if options.target_category else options.targets
    categories = category_records(list(dict.fromkeys(asked or options.category)), listed.categories)
    number = {record["name"]: record["id"] for record in categories}
    images: list[Record] = []
    annotations: list[Record] = []
    empty = 0
    for job, style in ((job, style) for job in jobs for style in styles):
        assert job.annotated
        place = job.in_style(style)
        with Image.open(place.output) as picture:
            size = picture.size
        images.append(_image(place, style, len(images) + 1, size))
        for at, instance in enumerate(job.annotated.instances):
            file = place.mask_file(at) if gives_each else None
            shape = _shape(instance, size, file)
            if shape is None:
                empty += 1
                continue
            annotations.append(
                {"id": len(annotations) + 1, "image_id": len(images)}
                | {"category_id": number[_became(asked, at, instance)], **shape}
                | {"source_annotation_id": instance.id, "source_category": instance.category}
                | ({"mask_file": file.name} if file else {})
            )
    lists = {"images": images, "categories": categories, "annotations": annotations}
    return {"info": {"description": about}, "licenses": [], **lists}, empty


def _became(asked: Sequence[str] | None, at: int, instance: Instance) -> str:
    """asked: a name for each instance of the picture, or one for all; None: instances are called what they were."""
    if not asked:
        return instance.category
    return asked[0] if len(asked) == 1 else asked[at]


def _image(job: Job, style: int | None, number: int, size: Size) -> Record:
    assert job.annotated
    record = {"id": number, "file_name": job.output.name, "width": size[0], "height": size[1]}
    source = {"source_file_name": job.annotated.name, "source_image_id": job.annotated.id}
    return record | source | ({} if style is None else {"style": style})


def _shape(instance: Instance, size: Size, mask: Path | None) -> Record | None:
    """mask: the translated one, None where the instance stays what it was. None for one that shows nothing."""
    if mask is None:
        return shape_of_instance(instance.segmentation, size)
    with Image.open(mask) as written:
        inside = np.asarray(written) > 0  # (H, W)
    return shape_of_mask(inside) if inside.any() else None


def check_save_coco(options: Namespace) -> None:
    """Raises ``InputError`` naming the flag that is missing."""
    if options.save_coco and not (options.images and options.annotations):
        raise InputError("--save_coco carries annotations along; it needs --images DIR with --annotations FILE")
    if options.target_category and not options.save_coco:
        raise InputError("--target_category belongs to --save_coco; add that or drop it")
