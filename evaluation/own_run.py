"""evaluate.py --run: the validation pictures translated by a run of train.py."""

from __future__ import annotations

import resource
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import torch

from engine.device import choose_device, prepare
from engine.run_folder import checkpoint_tag
from evaluation.pictures import Cost, Set, references, translated, truth_of
from evaluation.system import Direction, System
from instagan.errors import InputError
from instagan.io.options_file import options_of
from instagan.structures.directions import Direction as NetworkDirection
from instagan.structures.directions import asked_for
from models.translation_model import TranslationModel
from options.build import trained_model
from options.parse import parse_testing

ALL_PICTURES = "1000000"
FOLDERS = ("unaligned", "unaligned_seg", "boxes")


def read_run(flags: Namespace, others: Sequence[str]) -> System:
    """flags: those of evaluate.py; others: those of test.py that were typed. Raises ``InputError``."""
    options = parse_testing([*_as_typed(flags), *others]).values
    device = choose_device(options)
    prepare(device, options)
    model, state = trained_model(options, device)
    asked = asked_for(options.direction, model.directions, options.trained_direction)
    validation, notes = _read(options, options.phase, [way.source for way in asked], options.num_test)
    training = _training(options, flags.train_phase, flags.train_pictures)
    truth = truth_of(options)
    directions = []
    for way in asked:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        outcomes, seconds = translated(model, validation.samples[way.source], way.networks.target.lower(), device)
        cost = Cost(seconds, *_peak(device), _parameters(model, way.networks), torch.get_num_threads())
        known = references(validation, training, way.source, way.target, truth)
        directions.append(Direction(way.source, way.target, outcomes, known, cost, notes))
    facts = {
        "Method": options.model,
        "Data": f"{_shown(options)}, {options.phase}",
        "Device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
    checkpoint = Path(options.checkpoints_dir) / options.name / f"{checkpoint_tag(options)}.pth"
    return System(options.name, directions, str(checkpoint), state["progress"]["steps"], facts)


def _as_typed(flags: Namespace) -> list[str]:
    """What test.py would be called with."""
    run: Path = flags.run
    if not run.is_dir():
        raise InputError(f"--run {run}: no such folder; pass the folder of a run, such as checkpoints/NAME")
    run = run.resolve()
    typed = ["--checkpoints_dir", str(run.parent), "--name", run.name, "--phase", flags.phase]
    typed += ["--num_test", str(flags.num_test or ALL_PICTURES), "--device", flags.device, "--epoch", flags.epoch]
    typed += ["--direction", flags.direction]
    dataroot = flags.dataroot or options_of(run).get("dataroot")
    return [*typed, "--dataroot", str(dataroot)] if dataroot else typed


def _read(options: Namespace, phase: str, wanted: Sequence[str], most: int) -> tuple[Set, list[str]]:
    """The sources, and for what learns and compares the other domain too, where it is there."""
    found = Set.read(options, phase, wanted, most)
    for letter in set("AB") - set(wanted):
        try:
            return Set({**found.samples, **Set.read(options, phase, letter, most).samples}), []
        except InputError as error:
            return found, [f"without real pictures of {letter} there is no classifier, no FID and no KID ({error})"]
    return found, []


def _training(options: Namespace, phase: str, most: int) -> Set | None:
    """Pictures for classifiers to learn from; None where there are none but those that are evaluated."""
    if phase == options.phase or not most or options.dataset_mode not in FOLDERS:  # a json knows no phases
        return None
    try:
        return Set.read(options, phase, "AB", most)
    except InputError:
        return None


def _parameters(model: TranslationModel, direction: NetworkDirection) -> int:
    """Of the generator, or of all networks where a method does not tell which one translates."""
    translator = model.translators().get(direction)
    network = translator.generator if translator else model.networks
    return sum(parameter.numel() for parameter in network.parameters())  # type: ignore[attr-defined]


def _peak(device: torch.device) -> tuple[int, str]:
    """Bytes, and of what."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), "tensors on the GPU, at most"
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "the whole process at most, Python and torch too"


def _shown(options: Namespace) -> str:
    return str(getattr(options, "dataroot", None) or getattr(options, "annotations", "") or options.dataset_mode)
