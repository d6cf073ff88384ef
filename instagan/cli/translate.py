"""Translates pictures with a trained model: one, a folder, those of a COCO json, or with masks that a detector finds.

    python -m instagan translate --model M --image x.jpg --masks m0.png m1.png --output y.png
    python -m instagan translate --model M --images DIR --masks_dir DIR --output_dir OUT
    python -m instagan translate --model M --images DIR --annotations coco.json --category sheep --output_dir OUT
    python -m instagan translate --model M --image x.jpg --detector --category sheep --output y.png
    python -m instagan translate --model M --video in.mp4 --masks_dir DIR --output out.mp4
    python -m instagan translate --model M --image x.jpg --styles 5 --output y.png
    python -m instagan translate --model M --image x.jpg --style_image night.jpg --output y.png
    torchrun --nproc_per_node 8 -m instagan translate --model M --images DIR --annotations coco.json \
        --category car,person --output_dir OUT --save_coco --resume

The translated masks are written beside each picture: y_mask_0.png, y_mask_1.png, ...; those of a
video to --output_masks, if that is given. Of a model of parts --masks are label maps, and so are
y_parts_0.png, ...; one of keypoints reads them from --annotations and writes y_keypoints.json. With
--styles or --style_image there are several of each: y_style0.png, y_style1.png, ... --save_coco also
writes the annotations of the translated images, in COCO's format; several processes, as torchrun
starts them, share the images between them.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from instagan.cli.attributes import read_source, writers
from instagan.cli.jobs import Job, list_jobs
from instagan.cli.labelled import note_left_out, write_annotations
from instagan.cli.progress import progress
from instagan.cli.resuming import agree, clear, is_whole, leftovers
from instagan.cli.sharding import Shard
from instagan.cli.styles import Styles
from instagan.cli.translate_flags import add_options, check, targets_of
from instagan.cli.video import translate_video
from instagan.errors import InputError, one_line
from instagan.flag_types import levels_of
from instagan.inference.control import Control
from instagan.inference.result import Translation
from instagan.inference.translator import Translator
from instagan.io.coco_records import FILE_NAME
from instagan.io.pasting import Seam
from instagan.io.problems import Problem, cost, counted
from instagan.io.reading import ALL_LEVELS
from instagan.io.value_files import NPY, can_hold, write_values
from instagan.io.writing import Write, make_folder, picture_writer, write_together
from instagan.kernels.processor import read_cpuinfo, slow_bf16

__all__ = ["add_options", "run"]


@dataclass
class Tally:
    """What has been done so far."""

    pictures: int = 0
    instances: int = 0
    unchanged: int = 0
    kept: int = 0
    seconds: float = 0.0
    notes: set[str] = field(default_factory=set)
    numbers: set[int] = field(default_factory=set)
    seams: list[Seam] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)


def run(options: Namespace) -> int:
    check(options)
    shard = Shard.here()
    if shard.size > 1 and not options.images:
        raise InputError(f"{shard.told}: several processes share the images of a folder; pass --images, or start one")
    device = shard.device(options.device)
    translator = Translator.load(options.model, options.to, device, options.precision, options.epoch)
    if slow := slow_bf16(options.precision, translator.network.device.type, read_cpuinfo()):
        print(f"instagan: warning: {slow}", file=sys.stderr)
    if options.video:
        print(*map(one_line, translate_video(translator, options)), sep="\n")
        return 0
    styles, control = Styles.asked(options, translator), Control.from_flags(options)
    control.check(translator.network.translator, "--{}")
    gives_each = translator.network.knows_instances
    needs = translator.network.translator.needs
    listed = list_jobs(options, gives_each, list(styles.each), translator.gives.ending, needs)
    make_folder(options.output_dir or options.output.parent)
    tally = Tally(skipped=[] if shard.rank else list(listed.problems))
    _translate_all(translator, shard.of(listed.jobs), options, styles, control, tally, shard)
    if not (tally.pictures or tally.kept or shard.size > 1):
        raise InputError(tally.skipped[0].sentence)
    notes = [] if shard.rank else list(listed.notes)
    if shard.size == 1 and not tally.kept:  # else others have seen the rest of the numbers
        notes += control.unknown(tally.numbers, "--{}")
    _tell(tally, options, translator, styles, notes, shard)
    if options.save_coco:
        described = f"{translator.card['file']}, translated to {translator.card['to']}"
        line = write_annotations(options, listed, list(styles.each), gives_each, described)
        print(one_line(line or f"{shard.told}: the last process to end writes {options.output_dir / FILE_NAME}"))
    return 0


def _translate_all(
    translator: Translator,
    jobs: Sequence[Job],
    options: Namespace,
    styles: Styles,
    control: Control,
    tally: Tally,
    shard: Shard,
) -> None:
    """This process's pictures. With --skip_bad what is bad is noted, without it the first is raised."""
    numbers, gives_each = list(styles.each), translator.network.knows_instances
    scratches = list[Path]()
    if options.resume:
        agree(options, translator, (job.in_style(style).output for job in jobs for style in numbers))
        scratches = leftovers(options.output_dir)
    for job in jobs if shard.rank else progress(jobs, len(jobs)):
        try:
            if options.resume and is_whole(job, numbers, gives_each):
                tally.kept += 1
            else:
                clear(scratches, job)
                _translate(translator, job, options, styles, control, tally)
            reason = None
        except InputError as error:
            if not options.skip_bad:
                raise
            reason = str(error)
            tally.skipped.append(Problem(job.picture.name, reason, 1, job.instances))
        if options.save_coco and options.skip_bad:
            note_left_out(job, reason)


def _translate(
    translator: Translator, job: Job, options: Namespace, styles: Styles, control: Control, tally: Tally
) -> None:
    """One picture, from its files to the files of its translations."""
    takes = translator.takes
    if options.input_range:
        takes = replace(takes, levels=levels_of(options.input_range, ALL_LEVELS))
    pixels = takes.read(job.picture, job.size)  # (H, W, C)
    config = translator.config(options.max_side, options.crop_instances, options.paste_background, options.feather)
    try:
        source = read_source(job, pixels, targets_of(options), translator.network.translator.needs)
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
        masks = {place.mask_file(at): mask for at, mask in enumerate(one.masks)}
        files |= {file: picture_writer(mask, file) for file, mask in masks.items()} | writers(one, place)
        files[place.output] = _writer(one, place.output)
        tally.seams += [one.seam] if one.seam and not one.unchanged else []
        tally.notes |= {one.note} if one.note else set()
    write_together(files)
    tally.pictures += 1  # the last file to get its name is a picture: where it is, its masks are, too
    first = next(iter(made.values()))  # styles change nothing about who is translated
    tally.instances += sum(first.present)
    tally.unchanged += first.unchanged


def _writer(made: Translation, path: Path) -> Write:
    """Writes values where the file can hold them, else the picture."""
    values, ending = made.values, path.suffix.lower()
    if values is None and ending == NPY:
        values = np.asarray(made.picture)
    if values is None or not can_hold(ending, values):
        return picture_writer(made.picture, path)
    return partial(write_values, values=values, ending=ending)


def _tell(
    tally: Tally, options: Namespace, translator: Translator, styles: Styles, notes: Sequence[str], shard: Shard
) -> None:
    """What was skipped on stderr; seam and summary, a line each, on stdout."""
    for problem in tally.skipped:
        print(one_line(f"skipped: {problem.sentence}"), file=sys.stderr)
    if tally.seams:
        print(Seam.mean(tally.seams))
    where, to = f"{translator.network.device} ({translator.network.precision})", translator.card["to"]
    seconds = tally.seconds / max(tally.pictures * len(styles.each), 1)
    own = f"{shard.told}: " if shard.told else ""
    parts = [
        f"{own}{counted(tally.pictures, 'picture')}, {counted(tally.instances, 'instance')} translated to {to}"
        f"{styles.told} in {seconds:.3f} s a picture on {where}"
    ]
    if tally.kept:
        parts.append(f"{counted(tally.kept, 'picture')} kept from before")
    if tally.unchanged:
        parts.append(f"{tally.unchanged} unchanged, without an instance to translate")
    parts += sorted(note for note in tally.notes if "unchanged" not in note)
    parts += [*notes, *([cost(tally.skipped)] if tally.skipped else [])]
    print(one_line("; ".join([*parts, str(options.output or options.output_dir)])))
