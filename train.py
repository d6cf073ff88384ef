"""Trains a model: python train.py --dataroot DIR --name NAME [--model insta_gan] ...; see --help and README.md."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from engine.device import gpu_list
from engine.endings import ENDINGS, ending
from engine.finite import NotFiniteError
from engine.launch import by_torchrun, joined, place_here
from engine.optimizer import set_learning_rates
from engine.recovery import finite_check
from engine.run import ReadyRun
from engine.saving import Saver
from engine.several_gpus import announcement, start_ranks
from engine.stop_request import StopRequest
from evaluation.during_training import DuringTraining
from instagan.errors import InputError
from instagan.metrics.figures import METRICS
from options.build import learning_rate, make_ready
from options.parse import parse_training
from trackers.watch import Watch

TITLES = {name: metric.title for name, metric in METRICS.items()}
"""Of validation metrics, for the web page."""


def train(run: ReadyRun) -> int:
    """Trains to the last epoch, --max_steps or a signal; returns the exit code. Every rank calls it."""
    options, world, model, progress = run.resolved.values, run.world, run.model, run.start
    last_epoch, last_step = options.niter + options.niter_decay, options.max_steps or math.inf
    with ExitStack() as stack:
        stop, watch = stack.enter_context(StopRequest(by_torchrun())), None
        with world.raising_together():
            if world.is_main:
                print(run.resolved.table(), *run.summaries, *([model] if options.verbose else []), sep="\n")
                watch = stack.enter_context(Watch.from_options(options, *run.about, titles=TITLES))
        saver = Saver.of(run, watch.message if watch else None)
        check = finite_check(run, saver, watch.message if watch else None)
        try:
            while progress.epoch <= last_epoch and progress.steps < last_step and not stop.agreed:
                rates = set_learning_rates(model.optimizers(), learning_rate(options, progress.epoch))
                waiting_since = time.perf_counter()
                for read in run.updates(progress, lambda: stop.wish() | saver.wish(), watch and watch.message):
                    if stop.agree(read.requests):
                        break
                    data_wait = time.perf_counter() - waiting_since
                    update = read.to(run.device)
                    model.training_step(update)
                    losses = update.losses()
                    before, progress = progress, progress.after_batch(update.pair_count)
                    saves = saver.due(before, progress, update.requests)
                    check.step(before, progress, losses, read.pairs, saves or progress.in_epoch >= run.loader.pictures)
                    if watch:
                        watch.step(before, progress, read.pairs[0], losses, update.pictures, rates, data_wait)
                    run.evaluate(before, progress, watch.evaluated if watch else None)
                    if saves:
                        saver.save(progress)
                    if progress.steps >= last_step:
                        break
                    waiting_since = time.perf_counter()
                if progress.in_epoch >= run.loader.pictures:
                    progress = progress.next_epoch()
                    saver.epoch_done(progress)
            check.finish(progress)
        except (InputError, NotFiniteError):  # raised between two steps, and those so far are not lost
            saver.rescue(progress)
            raise
        saved = saver.finish(progress)
        if watch:
            where = f"step {progress.steps}, epoch {min(progress.epoch, last_epoch)} of {last_epoch}{check.summary()}"
            why = f"stopped by {stop.agreed.name}" if stop.agreed else "done"
            watch.message(f"{why} at {where} ({watch.newest_losses() or 'no losses'}); saved {saved}")
    return stop.exit_code


def several_gpus(argv: Sequence[str] | None) -> list[int]:
    """The GPUs of ``--gpu_ids``, typed or saved with the run, where they are several: said in one sentence."""
    options = parse_training(argv).values
    gpus = gpu_list(options) or []
    if len(gpus) < 2:
        return []
    print(announcement(gpus, options.batch_size), flush=True)
    return gpus


def main(argv: Sequence[str] | None = None) -> int:
    try:
        if place_here() is None and (gpus := several_gpus(argv)):
            return start_ranks(__file__, sys.argv[1:] if argv is None else argv, len(gpus))
        with joined() as world, make_ready(argv, world, DuringTraining.of) as run:
            return train(run)
    except ENDINGS as error:
        code, sentence = ending(error)
        if sentence:
            print(f"train.py: {sentence}", file=sys.stderr)
        return code


if __name__ == "__main__":
    sys.exit(main())
