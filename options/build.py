"""Options -> the objects that train.py and test.py work with."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from data import DATASETS
from data.folders import Entry, summary
from data.placement import Framing
from data.unaligned_instance_dataset import UnalignedInstanceDataset
from instagan.blocks import SIZE_MULTIPLE
from instagan.errors import InputError
from options.parse import Resolved
from options.run_folder import LATEST, RunFolder


def framing(options: Namespace, training: bool) -> Framing:
    """How pictures are brought to the networks' size: drawn in training, central and whole otherwise."""
    return Framing(
        options.resize_or_crop,
        (options.load_size_w, options.load_size_h),
        (options.fine_size_w, options.fine_size_h),
        random=training,
        flip=not options.no_flip,
        multiple=SIZE_MULTIPLE,
    )


def entries_of(options: Namespace, domain: str) -> list[Entry]:
    """The pictures of one domain ("A" or "B") of ``--phase``. Raises ``InputError`` if there are none."""
    return DATASETS[options.dataset_mode](Path(options.dataroot), options.phase, domain)


def training_dataset(options: Namespace) -> tuple[UnalignedInstanceDataset, list[str]]:
    """The unpaired data set of a run, and a line on each domain. ``--direction BtoA`` exchanges the domains."""
    domains = "AB" if options.direction == "AtoB" else "BA"
    a, b = (entries_of(options, domain) for domain in domains)
    dataset = UnalignedInstanceDataset(
        a, b, framing(options, True), options.seed, options.serial_batches, options.max_dataset_size
    )
    if len(dataset) == 0:
        raise InputError(f"--max_dataset_size {options.max_dataset_size} leaves no picture; use 1 or more")
    return dataset, [summary(found, options.phase, name) for found, name in zip((a, b), domains, strict=True)]


def checkpoint_tag(options: Namespace) -> str:
    return f"iter_{options.load_iter}" if options.load_iter else str(options.epoch)


def open_run(run: RunFolder, resolved: Resolved) -> dict[str, Any] | None:
    """Makes or continues a run's folder; returns the state to go on from, None to start from the beginning.

    Raises ``InputError`` rather than start anew over the checkpoints of an earlier run, unless ``--overwrite``.
    """
    options, state = resolved.values, None
    there = run.tags()
    if options.continue_train and (there or checkpoint_tag(options) != LATEST):
        state = run.load(checkpoint_tag(options))
    elif there and not options.overwrite:
        raise InputError(
            f"{run.path} holds a run already (checkpoints: {', '.join(there)}); go on with --continue_train, "
            "choose another --name, or let it go with --overwrite"
        )
    run.create()
    if state is None:
        run.clear()
    run.save_options(options)
    return state
