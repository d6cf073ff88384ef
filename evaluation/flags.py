"""Flags of evaluate.py, and which of them go together."""

from __future__ import annotations

from argparse import Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from instagan.errors import InputError
from instagan.flag_types import SentenceParser, real, whole
from instagan.structures.directions import FOLDERS

WEIGHTS = {
    "inception": "torch-fidelity's Inception, for --features inception",
    "vgg16": "torchvision's VGG-16, for --classifier vgg16",
    "maskrcnn": "torchvision's Mask R-CNN, for --detector",
    "lpips": "torchvision's AlexNet, for --lpips",
}

Add = Callable[..., Any]


def parse(argv: Sequence[str] | None, description: str) -> tuple[Namespace, list[str]]:
    """The flags, checked, and those that are left for test.py. Raises ``InputError``."""
    parser = SentenceParser(
        prog="evaluate.py", description=description, formatter_class=RawDescriptionHelpFormatter, allow_abbrev=False
    )
    _add_what(parser.add_argument_group("what is measured").add_argument)
    _add_how(parser.add_argument_group("how").add_argument)
    flags, others = parser.parse_known_args(argv)
    flags.weights = _weights(flags.weights)
    _check(flags, others)
    if flags.output_dir is None:
        name = f"{flags.run.resolve().name}/{flags.phase}_{flags.epoch}_evaluation" if flags.run else ""
        flags.output_dir = Path("results") / name if flags.run else flags.results / "evaluation"
    return flags, others


def _add_what(add: Add) -> None:
    add("--run", type=Path, metavar="DIR", help="folder of a run, such as checkpoints/NAME")
    add("--epoch", default="latest", help="its checkpoint: an epoch's number, best, or latest (default)")
    add("--results", type=Path, metavar="DIR", help="folder of translated images")
    add(
        "--pattern", nargs="+", metavar="KIND=PATTERN",
        help="how its files are called: real, fake, real_mask, fake_mask, real_masks, fake_masks; in patterns {name}, "
        "{source}, {target}, {number}, as in fake={name}_fake_{target}.png",
    )  # fmt: skip
    add("--dataroot", type=Path, metavar="DIR", help="the data set (default: the run's); tells instances apart")
    add("--parts", action="store_true", help="its masks are label maps of parts (train.py --attribute parts)")
    add("--phase", default="val", help="its images that were, or are to be, translated (default: val)")
    add("--direction", choices=tuple(FOLDERS), default="both", help="default: both, or those there are results of")
    add("--num_test", type=whole(1), metavar="N", help="most images of each domain (default: all)")
    add("--output_dir", type=Path, metavar="DIR", help="where the reports go (default: beside the results)")


def _add_how(add: Add) -> None:
    add("--seeds", type=whole(0, 2**32 - 1), nargs="+", default=[0], metavar="N", help="of classifiers and subsets")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add(
        "--features", choices=("auto", "builtin", "inception"), default="auto",
        help="of FID and KID; auto: Inception if its weights are given or in torch's cache, else small built-in ones",
    )  # fmt: skip
    add("--classifier", choices=("auto", "small", "vgg16"), default="auto", help="auto: vgg16 if its weights are given")
    add("--detector", action="store_true", help="Mask R-CNN finds the instances that masks are compared with")
    add("--category", type=whole(1), nargs="+", metavar="N", help="numbers of the detector's classes that count")
    add("--threshold", type=real(0, 1), default=0.5, help="least score of the detector")
    add("--lpips", action="store_true", help="LPIPS of the background as well")
    add(
        "--weights", nargs="+", default=[], metavar="KIND=FILE",
        help="; ".join(f"{kind}: {of}" for kind, of in WEIGHTS.items()),
    )  # fmt: skip
    add("--train_phase", default="train", help="images that classifiers learn from (default: train)")
    add(
        "--train_pictures", type=whole(0), default=200, metavar="N",
        help="most of them of each domain; 0, or without any: half of the validation images",
    )  # fmt: skip


def _weights(words: Sequence[str]) -> dict[str, Path]:
    found = {}
    for word in words:
        kind, equals, file = word.partition("=")
        if not equals or kind not in WEIGHTS:
            raise InputError(f"--weights {word}: write KIND=FILE, KIND one of {', '.join(WEIGHTS)}")
        found[kind] = Path(file)
        if not found[kind].is_file():
            raise InputError(f"--weights {word}: there is no such file; pass a state dict saved by torch")
    return found


def _check(flags: Namespace, others: Sequence[str]) -> None:
    if bool(flags.run) == bool(flags.results):
        raise InputError("pass either --run checkpoints/NAME or --results DIR")
    if flags.run and flags.pattern:
        raise InputError("--pattern belongs to --results; drop it")
    if flags.results and others:
        raise InputError(f"unknown flag {others[0]}; see --help")
    if flags.results and flags.epoch != "latest":
        raise InputError("--epoch belongs to --run; drop it")
    if flags.parts and not (flags.results and flags.dataroot):
        raise InputError("--parts belongs to --results with --dataroot, as a run tells what its masks are; drop it")
    if flags.category and not flags.detector:
        raise InputError("--category belongs to --detector; add that or drop it")
    if flags.classifier == "vgg16" and "vgg16" not in flags.weights:
        raise InputError("--classifier vgg16 needs ImageNet's weights; pass --weights vgg16=FILE or --classifier small")
    for kind, needed in (("maskrcnn", flags.detector), ("lpips", flags.lpips)):
        if kind in flags.weights and not needed:
            flag = "detector" if kind == "maskrcnn" else kind
            raise InputError(f"--weights {kind}=... belongs to --{flag}; add that or drop it")
    if len(set(flags.seeds)) < len(flags.seeds):
        raise InputError("--seeds: the same seed twice gives the same figure twice; name each once")
