"""Trains a model: python train.py --dataroot DIR --name NAME [--model insta_gan] ...; see --help and README.md."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from engine.endings import ENDINGS, ending
from engine.finite import NotFiniteError
from engine.launch import by_torchrun, joined
from engine.optimizer import set_learning_rates
from engine.recovery import finite_check
from engine.run import ReadyRun
from engine.saving import Saver
from engine.several_gpus import gpus_to_start, start_ranks
from engine.stop_request import StopRequest
from evaluation.during_training import DuringTraining
from instagan.errors import InputError
from instagan.metrics.figures import METRICS
from options.build import learning_rate, make_ready
from options.parse import parse_training
from trackers.loggers import Loggers


def train(run: ReadyRun) -> int:
    """Trains to the last epoch, --max_steps or a signal; returns the exit code. Every rank calls it."""
    options, world, model, progress = run.resolved.values, run.world, run.model, run.start
    last_epoch, last_step = options.niter + options.niter_decay, options.max_steps or math.inf
    with ExitStack() as stack:
        stop, loggers = stack.enter_context(StopRequest(by_torchrun())), None
        with world.raising_together():
            if world.is_main:
                print(run.resolved.table(), *run.summaries, *([model] if options.verbose else []), sep="\n")
                titles = {name: metric.title for name, metric in METRICS.items()}  # of validation metrics, for the page
                loggers = stack.enter_context(Loggers.from_options(options, *run.about, titles=titles))
        saver = Saver.of(run, loggers.message if loggers else None)
        check = finite_check(run, saver, loggers.message if loggers else None)
        try:
            while progress.epoch <= last_epoch and progress.steps < last_step and not stop.agreed:
                waiting_since = time.perf_counter()
                for read in run.updates(progress, lambda: stop.wish() | saver.wish(), loggers and loggers.message):
                    if stop.agree(read.requests):
                        break
                    data_wait = time.perf_counter() - waiting_since
                    update = read.to(run.device)
                    rates = set_learning_rates(model.optimizers(), learning_rate(options, progress))
                    run.step(update)
                    losses = update.losses()
                    before, progress = progress, progress.after_batch(update.pair_count)
                    saves = saver.due(before, progress, update.requests)
                    check.step(before, progress, losses, read.pairs, saves or progress.in_epoch >= run.loader.pictures)
                    if loggers:
                        loggers.step(before, progress, read.pairs[0], losses, update, rates, data_wait)
                    run.evaluate(before, progress, loggers.evaluated if loggers else None)
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
        if loggers:
            where = f"step {progress.steps}, epoch {min(progress.epoch, last_epoch)} of {last_epoch}{check.summary()}"
            why = f"stopped by {stop.agreed.name}" if stop.agreed else "done"
            loggers.message(f"{why} at {where} ({loggers.newest_losses() or 'no losses'}); saved {saved}")
    return stop.exit_code


def main(argv: Sequence[str] | None = None) -> int:
    try:
        if gpus := gpus_to_start(parse_training(argv).values, print):
            return start_ranks(__file__, sys.argv[1:] if argv is None else argv, len(gpus))
        with joined() as world, make_ready(argv, world, DuringTraining.of) as run:
            return train(run)
    except ENDINGS as error:
        return ending("train.py", error, sys.stderr.write)


if __name__ == "__main__":
    sys.exit(main())
