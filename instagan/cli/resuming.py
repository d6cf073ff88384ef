"""translate --resume: what an earlier run with the same model and flags has left whole stays as it is."""

from __future__ import annotations

import hashlib
import json
from argparse import Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn

from instagan.cli.jobs import Job
from instagan.errors import InputError
from instagan.inference.control import CONTROL_FLAGS
from instagan.inference.styles import STYLE_FLAGS
from instagan.inference.translator import Translator
from instagan.io.text_files import read_json
from instagan.io.value_files import read_values
from instagan.io.writing import write_whole

NOTE = "resume.json"
"""In the folder of results: what they were made with."""
FLAGS = (
    *("precision", "ins_per", "ins_max", "max_side", "crop_instances", "paste_background", "feather", "input_range"),
    *("category", "crowd_as_instances", "detector", *STYLE_FLAGS, "seed", *CONTROL_FLAGS),
)
"""What else changes pixels than the model."""


def agree(options: Namespace, translator: Translator, outputs: Iterable[Path]) -> None:
    """Notes in the folder what its images are made with, or compares where that is noted already.

    Raises ``InputError`` where it was something else, and where there are images and no note.
    """
    note, there = options.output_dir / NOTE, any(path.exists() for path in outputs)  # the note is older than any image
    told = {"model": fingerprint(translator), "to": translator.card["to"]}
    given = {name: getattr(options, name) for name in FLAGS}  # others are not noted: a note outlives new flags
    told |= {name: str(value) for name, value in given.items() if value is not None and value is not False}
    if note.exists():
        before = read_json(note, "delete it and the images, or pass another --output_dir")
        if before != told:
            before = before if isinstance(before, dict) else {}
            name = next((name for name in {**before, **told} if before.get(name) != told.get(name)), NOTE)
            what = "another model" if name == "model" else f"another --{name} ({before.get(name)})"
            raise InputError(
                f"--resume: {options.output_dir} holds images that were made with {what}; pass another --output_dir"
            )
    elif there:
        raise InputError(
            f"--resume: {options.output_dir} holds images of a run without --resume, made nobody knows how; "
            "delete them or pass another --output_dir"
        )
    else:
        write_whole(note, lambda scratch: scratch.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8"))


def fingerprint(translator: Translator) -> str:
    """Of the generator's weights; of a method's own way of translating, which has no name for them, its file."""
    generator = translator.network.generator
    if not isinstance(generator, nn.Module):
        return str(translator.card["file"])
    digest = hashlib.sha256()
    for name, tensor in generator.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def is_whole(job: Job, styles: Sequence[int | None], gives_each: bool) -> bool:
    """Whether all files of a job are there and can be read. gives_each: whether every instance becomes a mask.

    Masks whose number only translating tells are there if the image is: it is the last to get its name.
    """
    return all(_is_readable(file) for style in styles for file in job.in_style(style).certain_files(gives_each))


def _is_readable(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        read_values(file)
    except InputError:
        return False
    return True


def leftovers(folder: Path) -> list[Path]:
    """What is half written in the folder, by processes that were killed or are at work."""
    return list(folder.glob(".*.tmp"))


def clear(scratches: Sequence[Path], job: Job) -> None:
    """Removes those of this job, which nobody else is writing."""
    beginnings = tuple(f".{job.output.stem}{rest}" for rest in (".", "_mask_", "_parts_", "_keypoints.", "_style"))
    for scratch in scratches:
        if scratch.name.startswith(beginnings):
            scratch.unlink(missing_ok=True)
