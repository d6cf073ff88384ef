"""Options -> the objects that train.py and test.py work with."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from data import DATASETS
from data.cache import reader
from data.entries import Domain
from data.placement import Framing
from data.unaligned_instance_dataset import UnalignedInstanceDataset
from engine.schedule import learning_rate_factor
from instagan.errors import InputError
from instagan.networks.blocks import SIZE_MULTIPLE
from instagan.networks.discriminators import smallest_side
from models import MODELS


def framing(options: Namespace, training: bool) -> Framing:
    """How pictures are brought to the networks' size: drawn in training, central otherwise.

    To give pictures back their own size (``--original_size``) they are framed whole instead of cropped.
    """
    mode, load = options.resize_or_crop, (options.load_size_w, options.load_size_h)
    fine = options.fine_size_w, options.fine_size_h
    if not training and options.original_size and mode.endswith("crop"):
        mode, load = "resize_and_crop", fine
    return Framing(
        mode,
        load,
        fine,
        random=training,
        flip=not options.no_flip,
        multiple=SIZE_MULTIPLE,
        smallest=smallest_side(options.n_layers_D) if training else 2 * SIZE_MULTIPLE,
    )


def domains_of(options: Namespace, letters: str) -> dict[str, Domain]:
    """The pictures of the domains asked for ("A", "B", "AB"). Raises ``InputError`` if one has none."""
    return DATASETS[options.dataset_mode].list_domains(options, letters)


def training_dataset(options: Namespace) -> tuple[UnalignedInstanceDataset, list[str]]:
    """The unpaired data set of a run, and a line on each domain. ``--direction BtoA`` exchanges the domains."""
    found = domains_of(options, "AB")
    a, b = (found[letter] for letter in ("AB" if options.direction == "AtoB" else "BA"))
    entries, placing = a.entries + b.entries, framing(options, True)
    dataset = UnalignedInstanceDataset(
        a.entries,
        b.entries,
        placing,
        options.seed,
        options.serial_batches,
        options.max_dataset_size,
        reader(options.cache, entries, placing, Path(options.cache_dir), int(options.cache_size * 2**30)),
        threads=2 if options.cache == "none" else 1,  # handing over takes longer than a cache
        skip_bad=options.skip_bad,
    )
    if MODELS[options.model].dataset_mode(options) == "unaligned_seg" and not any(entry.masks for entry in entries):
        folder = entries[0].picture.parent
        raise InputError(
            f"{folder}: no picture of {a.title} and {b.title} has a mask, and --model {options.model} learns from "
            f"instances; put NAME_0.png, NAME_1.png, ... into {folder}_seg"
        )
    if len(dataset) == 0:
        raise InputError(f"--max_dataset_size {options.max_dataset_size} leaves no picture; use 1 or more")
    return dataset, [a.summary(), b.summary()]


def learning_rates(options: Namespace, epoch: int) -> dict[str, float]:
    """The learning rates in an epoch (from 1), as "lr" and, of the discriminators, "lr_D"."""
    factor = learning_rate_factor(options.lr_policy, epoch, options.niter, options.niter_decay, options.lr_decay_iters)
    return {"lr": options.lr * factor, "lr_D": (options.lr_D or options.lr) * factor}


def checkpoint_tag(options: Namespace) -> str:
    return f"iter_{options.load_iter}" if options.load_iter else str(options.epoch)
