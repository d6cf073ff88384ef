"""Options -> the objects that train.py and test.py work with; nothing else turns options into objects."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.amp import GradScaler

from data import DATASETS
from data.attributes import attribute_of, check_keypoints, count_channels
from data.cache import reader
from data.entries import Domain, Entry
from data.loading import TrainingLoader
from data.mask_noise import MaskNoise
from data.placement import Framing
from data.unaligned_instance_dataset import UnalignedInstanceDataset
from engine.averaging import Averages
from engine.device import choose_device, prepare, workers
from engine.opening import Fits, Opened, open_run
from engine.parallel import World
from engine.run import Evaluation, ReadyRun, Unread
from engine.run_folder import RunFolder, checkpoint_tag, restore, restore_networks
from engine.schedule import Progress, learning_rate_factor
from engine.starts import Sizes
from instagan.errors import InputError
from instagan.inference.batches import translate_in_windows
from instagan.inference.large import TranslateConfig
from instagan.inference.trained import published_networks
from instagan.io.formats import PLAIN
from instagan.io.reading import DEEP, has_deep_colours
from instagan.kernels import KERNELS, accelerate
from instagan.kernels.convolution import WIDE, WIDE_ENOUGH
from instagan.kernels.processor import PRECISIONS, read_cpuinfo, slow_bf16
from instagan.networks.blocks import SIZE_MULTIPLE
from instagan.structures.attributes import BOXES, KEYPOINTS, PARTS
from instagan.structures.directions import A_TO_B, exchanged
from models import MODELS
from models.translation_model import TranslationModel
from options.parse import Resolved, parse_training

Evaluating = Callable[[Namespace, torch.device], Evaluation]


def framing(options: Namespace, training: bool) -> Framing:
    """How pictures are brought to the networks' size: drawn in training, central otherwise.

    To give pictures back their own size (``--original_size``) they are framed whole instead of cropped. Training
    leaves instances out as the flags and the method say; translating leaves none out. With ``--instance_crops`` it
    sees whole pictures, in windows, for which any size will do.
    """
    mode, load = options.resize_or_crop, (options.load_size_w, options.load_size_h)
    fine = options.fine_size_w, options.fine_size_h
    if not training and options.original_size and mode.endswith("crop"):
        mode, load = "resize_and_crop", fine
    method, chosen = MODELS[options.model], {}
    if training:
        chosen = {
            "least_share": options.box_least_share or 0.0,
            "least_side": options.box_least_side,
            "most": method.most_instances(options),
            "boxes_only": "masks" not in method.takes,
        }
        if options.instance_crops:
            chosen |= {"most": getattr(options, "ins_max", None), "around_instances": True}
    attribute = attribute_of(options)
    if attribute == BOXES:
        chosen["boxes_only"] = True
    elif attribute in (KEYPOINTS, PARTS):
        chosen[attribute] = options.attribute_channels
    return Framing(
        mode,
        load,
        fine,
        **chosen,
        random=training,
        flip=not options.no_flip,
        multiple=1 if options.instance_crops else SIZE_MULTIPLE,
        smallest=MODELS[options.model].smallest_side(options)[0] if training else 2 * SIZE_MULTIPLE,
    )


def domains_of(options: Namespace, letters: str) -> dict[str, Domain]:
    """The pictures of the domains asked for ("A", "B", "AB"). Raises ``InputError`` if one has none."""
    domains = DATASETS[options.dataset_mode].list_domains(options, letters)
    check_keypoints(options, domains)
    return domains


def training_dataset(options: Namespace) -> tuple[UnalignedInstanceDataset, list[str], dict[str, list[str]]]:
    """The unpaired data set of a run, a line on each domain, and the names of its categories. ``--direction BtoA``
    exchanges the domains. Sets ``attribute_channels`` where the data tell it."""
    found, letters = domains_of(options, "AB"), exchanged(A_TO_B, options.direction)
    a, b = (found[letter] for letter in letters)
    named = {
        domain: [category.name for category in found[letter].categories.get(letter, ())]
        for domain, letter in zip("AB", letters, strict=True)
    }
    if "attribute_channels" in options:
        options.attribute_channels = count_channels(options, found)
    for domain in (a, b):
        _note_kind(options, domain)
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
        noise=MaskNoise.of(options.mask_noise),
    )
    if MODELS[options.model].dataset_mode(options) == "unaligned_seg" and not any(entry.masks for entry in entries):
        raise InputError(
            f"{entries[0].picture.parent}: no image of {a.title} and {b.title} has an instance, and --model "
            f"{options.model} learns from instances; {DATASETS[options.dataset_mode].instances_advice(options)}"
        )
    if len(dataset) == 0:
        raise InputError(f"--max_dataset_size {options.max_dataset_size} leaves no image; use 1 or more")
    first = {entry.picture: entry.format for entry in (a.entries[0], b.entries[0])}
    shallow = [path for path, format in first.items() if format.reads_rgb(path) and has_deep_colours(path)]
    warnings = [f"warning: {path} {DEEP}; save such images as .npy to keep all" for path in shallow]
    return dataset, [a.summary(), b.summary(), *warnings], named


def _note_kind(options: Namespace, domain: Domain) -> None:
    """What translations to a domain are written as follows from its first image that can be read."""
    flag = f"{domain.entries[0].format.flags}_kind"
    if getattr(options, flag) is None:
        found = _kind(domain.entries, options.skip_bad)
        setattr(options, flag, None if found == PLAIN else found)


def _kind(entries: Sequence[Entry], skip_bad: bool) -> str:
    for entry in entries:
        try:
            return entry.format.like(entry.picture).kind
        except InputError:
            if not skip_bad:
                raise
    return PLAIN


def learning_rate(options: Namespace, progress: Progress) -> float:
    """The factor on every initial learning rate in the update after this progress."""
    epochs = options.niter, options.niter_decay, options.lr_decay_iters
    return learning_rate_factor(options.lr_policy, progress, *epochs, options.lr_halve_steps)


def build_model(options: Namespace, device: torch.device, kernels: Iterable[str] = KERNELS) -> TranslationModel:
    """The method, on its device, running as the flags say. Raises ``InputError`` for flags that do not fit.

    kernels: the faster ways to run its layers that are used.
    """
    if options.precision == "fp16" and device.type != "cuda":
        raise InputError(f"--precision fp16 needs a CUDA GPU, and --device is {device.type}; use bf16")
    model = MODELS[options.model].from_options(options).to(device)
    if _channels_last(options, device):
        model.to(memory_format=torch.channels_last)
    recompute = getattr(options, "checkpoint_activations", False)
    precision = None if options.precision == "fp32" else PRECISIONS[options.precision]
    accelerate(model.networks, precision=precision, recompute=recompute, compiled=options.compile, kernels=kernels)
    for optimizer in model.optimizers().values():
        if optimizer.max_norm is None:  # a method may have a limit of its own
            optimizer.max_norm = getattr(options, "max_grad_norm", None)
        if options.precision == "fp16":
            optimizer.scale_losses(GradScaler(device.type))
    if options.instance_crops:
        config = TranslateConfig.as_trained(vars(options), crop_instances=True)
        model.in_windows = partial(translate_in_windows, config=config)
    return model


def trained_model(options: Namespace, device: torch.device) -> tuple[TranslationModel, dict[str, Any]]:
    """The method with the weights of the checkpoint that test.py's flags name, ready to translate, and their state.

    A folder may hold published weights instead: latest_net_G_A.pth, latest_net_G_B.pth. Raises ``InputError``.
    """
    folder, tag = RunFolder(Path(options.checkpoints_dir), options.name), checkpoint_tag(options)
    published = {} if folder.checkpoint(tag).exists() else published_networks(folder.path, tag)
    state = {"networks": published, "progress": {"steps": "not told"}} if published else folder.load(tag)
    model = build_model(options, device)
    restore_networks(state, model)
    return model, state


def _channels_last(options: Namespace, device: torch.device) -> bool:
    if options.memory_format != "auto":
        return bool(options.memory_format == "channels_last")
    if device.type == "cpu" and not options.compile:
        return bool(options.ngf >= (WIDE if options.precision == "fp32" else WIDE_ENOUGH))
    return device.type == "cpu" or options.compile  # eager instance norm on a GPU would convert forth and back


def make_ready(argv: Sequence[str] | None, world: World, evaluating: Evaluating | None = None) -> ReadyRun:
    """Rank 0 reads the command line, the run's folder and its checkpoint for all; pictures are read by every rank.

    evaluating: makes what evaluates on the way, on rank 0, where ``--eval_freq`` asks for it. Raises ``InputError`` on
    all ranks where one of them cannot go on.
    """
    return ready(world.from_main(lambda: parse_training(argv)), world, open_run, evaluating)


def ready(
    resolved: Resolved,
    world: World,
    opened: Callable[[RunFolder, Namespace, Collection[str], Fits, Sizes], Opened],
    evaluating: Evaluating | None = None,
) -> ReadyRun:
    """A run with these options. opened: called by rank 0 alone, once all else is there. Raises as ``make_ready``."""
    options = resolved.values
    with world.raising_together():
        device = choose_device(options)
        prepare(device, options)
        dataset, summaries, named = training_dataset(options)
        evaluates = evaluating and options.eval_freq and world.is_main
        evaluation = evaluating(options, device) if evaluates else None
        model = build_model(options, device)
        model.check_categories(named)
        if options.ema and world.is_main:
            model.averages = Averages(model.networks, options.ema)
    letters = "AB" if options.direction == "AtoB" else "BA"
    sizes = {
        letter: (len(entries), sum(len(entry.masks) for entry in entries))
        for letter, entries in zip(letters, (dataset.a, dataset.b), strict=True)
    }
    slow = slow_bf16(options.precision, device.type, read_cpuinfo())
    summaries += MODELS[options.model].remarks(options) + ([f"warning: {slow}"] if slow else [])
    loader = TrainingLoader(
        dataset,
        options.batch_size,
        workers(options),
        pin_memory=device.type == "cuda",
        accumulate=options.accumulate,
        rank=world.rank,
        ranks=world.size,
    )
    folder = RunFolder(Path(options.checkpoints_dir), options.name)
    try:
        found = world.from_main(
            lambda: opened(folder, options, resolved.changed, lambda state: restore(state, model), sizes)
        )
        start = restore(found.state, model) if found.state else Progress(epoch=options.epoch_count)
        world.copy_from_main(model)
    except BaseException:
        folder.lock.release()
        raise
    unread = Unread(options.skip_bad_limit)
    return ReadyRun(
        world, resolved, device, model, loader, folder, summaries, start, found.origin, found.notes, unread, evaluation
    )
