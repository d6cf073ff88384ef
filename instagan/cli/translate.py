"""Translates pictures with a trained model: one, a folder, those of a COCO json, or with masks that a detector finds.

    python -m instagan translate --model M --image x.jpg --masks m0.png m1.png --output y.png
    python -m instagan translate --model M --images DIR --masks_dir DIR --output_dir OUT
    python -m instagan translate --model M --images DIR --annotations coco.json --category sheep --output_dir OUT
    python -m instagan translate --model M --image x.jpg --detector --category sheep --output y.png
    python -m instagan translate --model M --video in.mp4 --masks_dir DIR --output out.mp4

The translated masks are written beside each picture: y_mask_0.png, y_mask_1.png, ...; those of a
video to --output_masks, if that is given.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field

from instagan.cli.jobs import Job, list_jobs
from instagan.cli.progress import progress
from instagan.cli.translate_flags import add_options, check
from instagan.cli.video import translate_video
from instagan.errors import InputError, one_line
from instagan.flag_types import levels_of
from instagan.inference.inputs import prepare
from instagan.inference.translator import Translator
from instagan.io.pasting import Seam
from instagan.io.problems import Problem, cost, counted
from instagan.io.reading import ALL_LEVELS, read_picture
from instagan.io.writing import make_folder, picture_writer, write_together
from instagan.kernels.processor import read_cpuinfo, slow_bf16

__all__ = ["add_options", "run"]


@dataclass
class Tally:
    """What has been done so far."""

    pictures: int = 0
    instances: int = 0
    unchanged: int = 0
    seconds: float = 0.0
    notes: set[str] = field(default_factory=set)
    seams: list[Seam] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)


def run(options: Namespace) -> int:
    check(options)
    translator = Translator.load(options.model, options.to, options.device, options.precision, options.epoch)
    if slow := slow_bf16(options.precision, translator.network.device.type, read_cpuinfo()):
        print(f"instagan: warning: {slow}", file=sys.stderr)
    if options.video:
        print(*map(one_line, translate_video(translator, options)), sep="\n")
        return 0
    listed = list_jobs(options, needs_masks=translator.network.knows_instances)
    make_folder(options.output_dir or options.output.parent)
    tally = Tally(skipped=list(listed.problems))
    for job in progress(listed.jobs, len(listed.jobs)):
        try:
            _translate(translator, job, options, tally)
        except InputError as error:
            if not options.skip_bad:
                raise
            tally.skipped.append(Problem(job.picture.name, str(error), 1, job.instances))
    if not tally.pictures:
        raise InputError(tally.skipped[0].sentence)
    _tell(tally, options, translator, listed.notes)
    return 0


def _translate(translator: Translator, job: Job, options: Namespace, tally: Tally) -> None:
    """One picture, from its files to the files of its translation."""
    picture = read_picture(job.picture, job.size, levels_of(options.input_range, ALL_LEVELS))
    manner = translator.manner(options.max_side, options.crop_instances, options.paste_background, options.feather)
    try:
        source = prepare(picture, list(job.find(picture)))
        started = time.perf_counter()
        (made,) = translator.translate([source], options.ins_per, options.ins_max, manner=manner)
    except InputError as error:
        named = str(job.picture) in str(error) or any(str(path) in str(error) for path in job.inputs)
        raise error if named else InputError(f"{job.picture}: {error}") from None
    tally.seconds += time.perf_counter() - started
    if made.seam and not made.unchanged:
        tally.seams.append(made.seam)
    files = {job.output: picture_writer(made.picture, job.output)}
    for place, mask in enumerate(made.masks):
        file = job.mask_file(place)
        files[file] = picture_writer(mask, file)
    write_together(files)
    tally.pictures += 1
    tally.instances += sum(made.present)
    tally.unchanged += made.unchanged
    tally.notes |= {made.note} if made.note else set()


def _tell(tally: Tally, options: Namespace, translator: Translator, notes: Sequence[str]) -> None:
    """What was skipped on stderr; seam and summary, a line each, on stdout."""
    for problem in tally.skipped:
        print(one_line(f"skipped: {problem.sentence}"), file=sys.stderr)
    if tally.seams:
        print(Seam.mean(tally.seams))
    where, to = f"{translator.network.device} ({translator.network.precision})", translator.card["to"]
    parts = [
        f"{counted(tally.pictures, 'picture')}, {counted(tally.instances, 'instance')} translated to {to} in "
        f"{tally.seconds / tally.pictures:.3f} s a picture on {where}"
    ]
    if tally.unchanged:
        parts.append(f"{tally.unchanged} unchanged, without an instance to translate")
    parts += sorted(note for note in tally.notes if "unchanged" not in note)
    parts += [*notes, *([cost(tally.skipped)] if tally.skipped else [])]
    print(one_line("; ".join([*parts, str(options.output or options.output_dir)])))

