"""Trains a detector of objects on the annotated domain of a data set, for methods that need one.

    python scripts/train_detector.py --save detectors/streets.pth --dataroot datasets/streets --dataset_mode boxes \
        --load_size_w 96 --load_size_h 64 --fine_size_w 96 --fine_size_h 64
    python scripts/train_detector.py --save detectors/streets.pth --config configs/streets_dunit.yaml

Images are read and placed as by train.py, whose flags it takes: --dataroot, --dataset_mode, --direction, sizes, --seed,
--device, --config ... The annotated domain is A, with --direction BtoA it is B. What was learnt is measured at the end
on the validation images and written to one file, for --detector_weights.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch  # noqa: E402

from engine.device import choose_device, prepare  # noqa: E402
from evaluation.learning_detector import Learning, annotated_domain, learn, measure, placed_as, table  # noqa: E402
from instagan.errors import InputError  # noqa: E402
from instagan.flag_types import finite, whole  # noqa: E402
from instagan.io.object_detector import BEGINNINGS, KINDS, ObjectDetector, begin_with, write_detector  # noqa: E402
from instagan.io.writing import make_folder  # noqa: E402
from options.parse import parse_training  # noqa: E402


def flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Train a detector of objects; takes flags of train.py that tell of data, sizes, seed and device."
    )
    add = parser.add_argument
    add("--save", type=Path, required=True, metavar="FILE", help="where the detector is written")
    add_learning_flags(add)
    return parser


def add_learning_flags(add: Callable[..., Any]) -> None:
    """What a detector is made of and how long it learns; add: of a parser."""
    add("--kind", choices=tuple(KINDS), default="small", help="small: for small images, learnt from nothing; resnet50, "
        "mobilenet: ResNet-50 and MobileNetV3 with a feature pyramid, need --begin_with")  # fmt: skip
    add("--begin_with", type=Path, metavar="FILE", help="torchvision's weights of "
        + "; ".join(f"{whole} or {backbone} ({kind})" for kind, (whole, backbone) in BEGINNINGS.items()))  # fmt: skip
    add("--detector_side", type=whole(16, 4096), help="pixels of the shorter side at which images are looked at "
        "(default: twice that of the crop)")  # fmt: skip
    add("--detector_steps", type=whole(1), default=Learning.steps, help="updates")
    add("--detector_batch", type=whole(1), default=Learning.batch_size, help="images in a batch")
    add("--detector_lr", type=finite(above=True), default=Learning.lr, help="highest learning rate")


def check_kind(own: argparse.Namespace) -> None:
    """Raises ``InputError`` naming the flag that is missing."""
    if own.kind in BEGINNINGS and own.begin_with is None:
        whole, _ = BEGINNINGS[own.kind]
        raise InputError(f"--kind {own.kind} needs --begin_with FILE, torchvision's weights of {whole}")


def train(own: argparse.Namespace, others: Sequence[str]) -> None:
    options = parse_training(others).values
    check_kind(own)
    device, started = choose_device(options), time.perf_counter()
    prepare(device, options)
    domain, classes = annotated_domain(options, options.phase)
    held_out, _ = annotated_domain(options, options.eval_phase)
    side = own.detector_side or 2 * min(options.fine_size_w, options.fine_size_h)
    torch.manual_seed(options.seed)
    detector = ObjectDetector(own.kind, classes, side)
    if own.begin_with is not None:
        begin_with(detector, own.begin_with, "--begin_with")
    make_folder(own.save.parent)
    print(domain.summary(), held_out.summary(), f"classes: {', '.join(classes)}; looked at from {side} pixels on",
          sep="\n", flush=True)  # fmt: skip
    how = Learning(own.detector_steps, own.detector_batch, own.detector_lr, options.seed)
    learn(detector.to(device), domain.entries, placed_as(options, True), how, lambda line: print(line, flush=True))
    figures = measure(detector, held_out.entries, placed_as(options, False))
    print(f"{held_out.title}, {len(held_out.entries)} images that it did not learn from:", *table(figures), sep="\n")
    told = {"trained_on": domain.title, "figures": {name: asdict(one) for name, one in figures.items()}, **asdict(how)}
    write_detector(own.save, detector.cpu(), told)
    print(f"wrote {own.save} after {time.perf_counter() - started:.0f} s; pass --detector_weights {own.save}")


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 after one sentence on stderr when input is missing or does not fit."""
    own, others = flags().parse_known_args(argv)
    try:
        train(own, others)
    except InputError as error:
        print(f"train_detector.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
