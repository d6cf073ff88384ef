"""Translates pictures with a trained model: one, a folder, those of a COCO json, or with masks that a detector finds.

    python -m instagan translate --model M --image x.jpg --masks m0.png m1.png --output y.png
    python -m instagan translate --model M --images DIR --masks_dir DIR --output_dir OUT
    python -m instagan translate --model M --images DIR --annotations coco.json --category sheep --output_dir OUT
    python -m instagan translate --model M --image x.jpg --detector --category sheep --output y.png
    python -m instagan translate --model M --video in.mp4 --masks_dir DIR --output out.mp4
    python -m instagan translate --model M --image x.jpg --styles 5 --output y.png
    python -m instagan translate --model M --image x.jpg --style_image night.jpg --output y.png

The translated masks are written beside each picture: y_mask_0.png, y_mask_1.png, ...; those of a
video to --output_masks, if that is given. With --styles or --style_image there are several of each:
y_style0.png, y_style1.png, ...
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from instagan.cli.jobs import Job, list_jobs
from instagan.cli.progress import progress
from instagan.cli.styles import Styles
from instagan.cli.translate_flags import add_options, check
from instagan.cli.video import translate_video
from instagan.errors import InputError, one_line
from instagan.flag_types import levels_of
from instagan.inference.control import Control
from instagan.inference.inputs import prepare
from instagan.inference.translator import Translator
from instagan.io.pasting import Seam
from instagan.io.problems import Problem, cost, counted
from instagan.io.reading import ALL_LEVELS, read_picture
from instagan.io.writing import Write, make_folder, picture_writer, write_together
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
    numbers: set[int] = field(default_factory=set)
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
    styles, control = Styles.asked(options, translator), Control.from_flags(options)
    control.check(translator.network.translator, "--{}")
    listed = list_jobs(options, translator.network.knows_instances, list(styles.each))
    make_folder(options.output_dir or options.output.parent)
    tally = Tally(skipped=list(listed.problems))
    for job in progress(listed.jobs, len(listed.jobs)):
        try:
            _translate(translator, job, options, styles, control, tally)
        except InputError as error:
            if not options.skip_bad:
                raise
            tally.skipped.append(Problem(job.picture.name, str(error), 1, job.instances))
    if not tally.pictures:
        raise InputError(tally.skipped[0].sentence)
    _tell(tally, options, translator, styles, [*listed.notes, *control.unknown(tally.numbers, "--{}")])
    return 0


def _translate(
    translator: Translator, job: Job, options: Namespace, styles: Styles, control: Control, tally: Tally
) -> None:
    """One picture, from its files to the files of its translations."""
    picture = read_picture(job.picture, job.size, levels_of(options.input_range, ALL_LEVELS))
    config = translator.config(options.max_side, options.crop_instances, options.paste_background, options.feather)
    try:
        source = prepare(picture, list(job.find(picture)))
        numbers = job.numbers or tuple(range(len(source.inside)))
        if options.image:
            control.check_numbers(numbers, "--{}")
        source = source.asked(control, numbers)
        started = time.perf_counter()
        made = {
            number: translator.translate([source], options.ins_per, options.ins_max, config=config, style=style)[0]
            for number, style in styles.each.items()
        }
    except InputError as error:
        named = str(job.picture) in str(error) or any(str(path) in str(error) for path in job.inputs)
        raise error if named else InputError(f"{job.picture}: {error}") from None
    tally.numbers.update(numbers)
    tally.seconds += time.perf_counter() - started
    files: dict[Path, Write] = {}
    for number, one in made.items():
        place = job.in_style(number)
        pictures = {place.output: one.picture} | {place.mask_file(at): mask for at, mask in enumerate(one.masks)}
        files |= {file: picture_writer(shown, file) for file, shown in pictures.items()}
        tally.seams += [one.seam] if one.seam and not one.unchanged else []
        tally.notes |= {one.note} if one.note else set()
    write_together(files)
    tally.pictures += 1
    first = next(iter(made.values()))  # styles change nothing about who is translated
    tally.instances += sum(first.present)
    tally.unchanged += first.unchanged


def _tell(tally: Tally, options: Namespace, translator: Translator, styles: Styles, notes: Sequence[str]) -> None:
    """What was skipped on stderr; seam and summary, a line each, on stdout."""
    for problem in tally.skipped:
        print(one_line(f"skipped: {problem.sentence}"), file=sys.stderr)
    if tally.seams:
        print(Seam.mean(tally.seams))
    where, to = f"{translator.network.device} ({translator.network.precision})", translator.card["to"]
    seconds = tally.seconds / (tally.pictures * len(styles.each))
    parts = [
        f"{counted(tally.pictures, 'picture')}, {counted(tally.instances, 'instance')} translated to {to}"
        f"{styles.told} in {seconds:.3f} s a picture on {where}"
    ]
    if tally.unchanged:
        parts.append(f"{tally.unchanged} unchanged, without an instance to translate")
    parts += sorted(note for note in tally.notes if "unchanged" not in note)
    parts += [*notes, *([cost(tally.skipped)] if tally.skipped else [])]
    print(one_line("; ".join([*parts, str(options.output or options.output_dir)])))

