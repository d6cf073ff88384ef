"""Command lines and ``--config`` files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from options.parse import parse_testing, parse_training
from scripts.check_data import parse as parse_checking
from tests.soak.fuzzing.checkpoint_files import YAML
from tests.soak.fuzzing.hostile import damaged, words
from tests.soak.fuzzing.target import Target, file_target

SUFFIXES = ("{name:>999999999}", "{lr.__class__}", "{0}", "{", "{name!x}", "{name[0]}", "{niter:09999999d}", "{lr:.3}")
KNOWN = ("insta_gan", "cycle_gan", "coco", "both", "AtoB", "0", "1", "36", "nan", "1e999", "9" * 5000, "-1", "٣", "")
CONFIG = "dataroot: x\nname: run\nniter: 3\nno_flip: true\nlr: 0.001\nsuffix: '{niter}'\n"
SKIPPED = ("-h", "--help", "--config")
"""The first two end the program by themselves."""


def _lines(flags: Sequence[str], first: Sequence[str]) -> st.SearchStrategy[list[str]]:
    plain = words.filter(lambda word: word not in SKIPPED)
    value = st.sampled_from((*KNOWN, *SUFFIXES)) | plain
    pair = st.tuples(st.sampled_from(flags), value).map(list) | st.sampled_from(flags).map(lambda flag: [flag])
    odd = plain.map(lambda word: [word])
    return st.lists(pair | pair | pair | odd, max_size=4).map(
        lambda parts: [*first, *(w for part in parts for w in part)]
    )


def flag_target(
    name: str, parse: Callable[[Sequence[str]], Any], flags: Sequence[str], first: Sequence[str], share: int
):
    def run(argv: list[str], folder: Path) -> None:
        parse(argv)

    return Target(name, _lines(flags, first), run, share)


TRAINING = (
    "--dataroot", "--name", "--suffix", "--model", "--dataset_mode", "--direction", "--phase", "--lr", "--niter",
    "--niter_decay", "--batch_size", "--load_size", "--fine_size", "--fine_size_w", "--resize_or_crop", "--norm",
    "--netG", "--ngf", "--ins_max", "--ins_per", "--lr_policy", "--epoch", "--epoch_count", "--load_iter", "--seed",
    "--cache", "--cache_size", "--max_dataset_size", "--checkpoints_dir", "--continue_train", "--no_flip", "--ndf",
    "--n_layers_D", "--display_id", "--save_by_iter", "--accumulate", "--precision", "--device", "--lambda_A",
    "--input_nc", "--cat1", "--cat2", "--annotations", "--images", "--skip_bad", "--nonsense",
)  # fmt: skip
TESTING = (
    "--dataroot", "--name", "--suffix", "--epoch", "--phase", "--num_test", "--direction", "--original_size",
    "--aspect_ratio", "--results_dir", "--checkpoints_dir", "--load_iter", "--batch_size", "--save_coco",
)  # fmt: skip
CHECKING = (
    "--dataroot", "--phases", "--tiny_area", "--overlap", "--imbalance", "--workers", "--list", "--json",
    "--preview", "--preview_dir", "--seed", "--dataset_mode",
)  # fmt: skip


def _config(path: Path) -> None:
    resolved = parse_training(["--dataroot", "x", "--config", str(path)])
    assert len(resolved.table()) < 10**6


def targets() -> list[Target]:
    configs = (CONFIG.encode(), *(text.encode() for text in YAML))
    return [
        flag_target("train.py's flags", parse_training, TRAINING, ["--dataroot", "x"], 250),
        flag_target("test.py's flags", parse_testing, TESTING, ["--dataroot", "x"], 100),
        flag_target("check_data.py's flags", parse_checking, CHECKING, ["--dataroot", "x"], 200),
        replace(file_target("--config file", "input.yaml", configs, _config, damaged(configs), 150), names=""),
    ]
