"""Trains a model: python train.py --dataroot DIR --name NAME [--model insta_gan] ...; see --help and README.md."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from data.loading import TrainingLoader
from instagan.errors import InputError
from models import MODELS
from models.schedule import Progress, due, set_learning_rates
from options.build import learning_rates, open_run, training_dataset
from options.device import choose_device, prepare, workers
from options.parse import Resolved, parse_training
from options.run_folder import LATEST, RunFolder, restore
from options.stop_request import StopRequest
from trackers.watch import Watch


def train(resolved: Resolved) -> int:
    """Trains to the last epoch, --max_steps or a signal; returns the exit code."""
    options = resolved.values
    device = choose_device(options)
    prepare(device, options.seed, options.deterministic)
    dataset, summaries = training_dataset(options)
    loader = TrainingLoader(dataset, options.batch_size, workers(options), pin_memory=device.type == "cuda")
    model = MODELS[options.model].from_options(options).to(device)
    run = RunFolder(Path(options.checkpoints_dir), options.name)
    state = open_run(run, resolved)
    progress = restore(state, model) if state else Progress(epoch=options.epoch_count)
    if state and "epoch_count" in resolved.changed:
        progress = Progress(options.epoch_count, 0, progress.steps, progress.pictures)
    print(resolved.table(), *summaries, *([model] if options.verbose else []), sep="\n")
    last_epoch, last_step = options.niter + options.niter_decay, options.max_steps or math.inf
    with (
        StopRequest() as stop,
        Watch.from_options(options, resolved.changed, run.path, progress, len(dataset)) as watch,
    ):
        try:
            while progress.epoch <= last_epoch and progress.steps < last_step and not stop.signal:
                rates = learning_rates(options, progress.epoch)
                set_learning_rates(model.optimizers(), **rates)
                waiting_since = time.perf_counter()
                for pair in loader.epoch(progress.epoch, progress.batches):
                    data_wait = time.perf_counter() - waiting_since
                    losses, pictures = model.training_step(pair.to(device, non_blocking=True))
                    before, progress = progress, progress.after_batch(len(pair))
                    watch.step(before, progress, pair, losses, pictures, rates, data_wait)
                    if due(options.save_latest_freq, before, progress):
                        kept = [f"iter_{progress.pictures}"] if options.save_by_iter else []
                        run.save([LATEST, *kept], model, progress)
                    if progress.steps >= last_step or stop.signal:
                        break
                    waiting_since = time.perf_counter()
                if progress.batches == len(loader):
                    epoch, progress = progress.epoch, progress.next_epoch()
                    if options.save_epoch_freq and epoch % options.save_epoch_freq == 0:
                        run.save([LATEST, str(epoch)], model, progress)
        except InputError:  # a picture cannot be read: raised between two steps, and those so far are not lost
            run.save([LATEST], model, progress)
            raise
        run.save([LATEST], model, progress)
        where = f"step {progress.steps}, epoch {min(progress.epoch, last_epoch)} of {last_epoch}"
        why = f"stopped by {stop.signal.name}" if stop.signal else "done"
        watch.message(f"{why} at {where} ({watch.newest_losses() or 'no losses'}); saved {run.checkpoint(LATEST)}")
    return stop.exit_code


def main(argv: Sequence[str] | None = None) -> int:
    try:
        return train(parse_training(argv))
    except InputError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # a second signal, or one before the first step
        print("train.py: interrupted at once; what was saved before is there", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
