"""What translate knows of instances beside their masks, keypoints or parts: read from files, and written to files."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from instagan.cli.jobs import Job
from instagan.errors import InputError
from instagan.inference.inputs import Source, Targets, source_of
from instagan.inference.result import Translation
from instagan.io.pixels import as_shown
from instagan.io.writing import Write, picture_writer
from instagan.structures.attributes import KEYPOINTS, PARTS


def read_source(job: Job, pixels: np.ndarray, targets: Targets, needs: Collection[str]) -> Source:
    """A picture (H, W, C) with its instances, as a model of these needs takes them. Raises ``InputError``."""
    found = list(job.find(as_shown(pixels)))
    if PARTS in needs:
        if not all(isinstance(one, Path) for one in found):
            raise InputError(
                "this model needs parts of every mask: pass label maps of them with --masks, or with --masks_dir as "
                "NAME_0.png, NAME_1.png, ..."
            )
        return source_of(pixels, None, targets=targets, parts=found)
    if KEYPOINTS in needs and found:
        if not job.annotated:
            raise InputError("this model needs keypoints of every mask: pass them with --annotations, or use test.py")
        return source_of(pixels, found, targets=targets, keypoints=[one.keypoints for one in job.annotated.instances])
    return source_of(pixels, found, targets=targets)


def writers(made: Translation, place: Job) -> dict[Path, Write]:
    """The files of what became of keypoints or parts; none where the model has neither."""
    files: dict[Path, Write] = {}
    for number, labels in enumerate(() if made.parts is None else made.parts):
        file = place.parts_file(number)
        files[file] = picture_writer(Image.fromarray(labels), file)
    if made.keypoints is not None:
        points = {place.number(at): np.round(one, 2).ravel().tolist() for at, one in enumerate(made.keypoints)}
        text = json.dumps(points) + "\n"
        files[place.keypoints_file] = partial(Path.write_text, data=text, encoding="utf-8")
    return files
