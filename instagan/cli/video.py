"""A video translated frame by frame, each instance known by the number of its masks."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from instagan.cli.frame_masks import FrameMasks, keeping, list_frame_masks
from instagan.cli.progress import progress
from instagan.cli.translate_flags import targets_of
from instagan.errors import InputError
from instagan.inference.inputs import Source, targets_for
from instagan.inference.result import Translation
from instagan.inference.translator import Translator
from instagan.io.flicker import Flicker, Shown, blended, still_background
from instagan.io.video_files import Facts, container_of, look_through, rewrite
from instagan.io.writing import make_folder, write_whole

Translate = Callable[[int, np.ndarray], tuple[Source, Translation]]
"""Number and pixels of a frame -> what is translated, and its translation."""


@dataclass(frozen=True, eq=False)
class Step:
    """A frame: of the source, translated, and blended with what came before (the same, without a blend)."""

    source: Shown
    translated: Shown
    blended: Shown


@dataclass
class Steadiness:
    """What is compared from frame to frame; the last frame is all that is kept."""

    share: float
    exact: bool
    source: Flicker = field(default_factory=Flicker)
    translated: Flicker = field(default_factory=Flicker)
    blended: Flicker = field(default_factory=Flicker)
    last: Step | None = None

    def follow(self, source: Shown, translated: Shown) -> np.ndarray:
        """The next frame: measures, blends, and gives the pixels to write. exact: background is not blended."""
        step = Step(source, translated, translated)
        if self.last is not None:
            before = self.last
            occupied = [shown.occupied for shown in (before.source, before.translated, source, translated)]
            still = still_background(before.source.pixels, source.pixels, occupied)
            if self.share:
                mixed = blended(before.blended, translated, None if self.exact else still, self.share)
                step = Step(source, translated, Shown(mixed, translated.inside))
            self.source.add(before.source, source, still)
            self.translated.add(before.translated, translated, still)
            self.blended.add(before.blended, step.blended, still)
        self.last = step
        return step.blended.pixels

    def __str__(self) -> str:
        streams = [("in the source", self.source), ("translated", self.translated)]
        streams += [("blended", self.blended)] if self.share else []
        background = ", ".join(f"{flicker.background:.2f} {name}" for name, flicker in streams)
        instances = ", ".join(f"{flicker.instances:.2f} {name}" for name, flicker in streams)
        return f"flicker, levels from frame to frame: unchanged background {background}; instances {instances}"


def translate_video(translator: Translator, options: Namespace) -> tuple[str, str]:
    """Writes --output, whole or not at all; returns two lines to tell. Raises ``InputError``."""
    container_of(options.output.suffix)
    translator.check_rgb("--video")
    if options.video.resolve() == options.output.resolve():
        raise InputError(f"--output {options.output} would be written over --video; pass another place")
    facts = look_through(options.video)
    masks = list_frame_masks(options.masks_dir, facts.frames, facts.size)
    if not masks.identities and translator.network.knows_instances:
        raise InputError(f"--masks_dir {options.masks_dir} shows nobody in any frame; pass masks of instances")
    if options.output_masks and not translator.network.gives_masks:
        raise InputError("--output_masks: this model translates no masks; drop it")
    crops = translator.config(options.max_side, options.crop_instances).crop_instances
    exact = options.paste_background or crops or _shrinks(options.max_side, facts)
    steadiness = Steadiness(options.temporal_blend or 0.0, exact)
    translate = _translating(translator, masks, options)
    numbers = iter(progress(range(facts.frames), facts.frames, "frame"))

    def change(number: int, pixels: np.ndarray) -> np.ndarray:
        next(numbers, None)
        source, made = translate(number, pixels)
        keep(number, made)
        inside = made.inside if len(made.masks) == len(source.inside) else source.inside
        return steadiness.follow(Shown(pixels, source.inside), Shown(np.asarray(made.picture), inside))

    make_folder(options.output.parent)
    started = time.perf_counter()
    ending = options.output.suffix
    with keeping(options.output_masks, masks.identities) as keep:
        write_whole(options.output, lambda scratch: rewrite(options.video, facts, scratch, ending, change))
    each = (time.perf_counter() - started) / facts.frames
    who = ", ".join(str(number) for number in masks.identities)
    sound = f"sound copied ({', '.join(facts.sound)})" if facts.sound else "no sound"
    done = (
        f"{facts.frames} frames at {facts.rate:g} a second, instances {who} translated to {translator.card['to']} "
        f"in {each:.3f} s a frame on {translator.network.device} ({translator.network.precision}); {sound}; "
        f"{options.output}" + (f", masks in {options.output_masks}" if options.output_masks else "")
    )
    return str(steadiness), done


def _translating(translator: Translator, masks: FrameMasks, options: Namespace) -> Translate:
    """Instances are translated in the same order, and in the same lots, in every frame."""
    config = translator.config(options.max_side, options.crop_instances, options.paste_background, options.feather)

    def translate(number: int, pixels: np.ndarray) -> tuple[Source, Translation]:
        inside = masks.read(number)
        source = Source(pixels, inside, (0,) * len(inside), targets=targets_for(targets_of(options), len(inside)))
        (made,) = translator.translate([source], options.ins_per, options.ins_max, config=config, in_order=True)
        return source, made

    return translate


def _shrinks(max_side: int | None, facts: Facts) -> bool:
    return max_side is not None and max(facts.size) > max_side
