#!/usr/bin/env python
"""Makes a run of published weights, or published weights of a run, discriminators included.

    python scripts/convert_checkpoint.py --published DIR --name NAME [--epoch latest] [flags of train.py]
    python scripts/convert_checkpoint.py --run checkpoints/NAME [--epoch latest] --output DIR [--old_format]

The first reads <epoch>_net_G_A.pth, _G_B, _D_A, _D_B and writes checkpoints/NAME/, which test.py and train.py
--continue_train take as any run; sizes of the networks are read off the weights. The second writes such files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from engine.run_folder import LATEST, RunFolder, restore_networks  # noqa: E402
from engine.schedule import Progress  # noqa: E402
from instagan.cli.ending import exit_code  # noqa: E402
from instagan.errors import InputError, one_line  # noqa: E402
from instagan.inference.published import to_published  # noqa: E402
from instagan.inference.registry import Description  # noqa: E402
from instagan.inference.trained import PUBLISHED_OPTIONS, published_networks, published_options  # noqa: E402
from instagan.io.options_file import OPTIONS, inference_options  # noqa: E402
from instagan.io.tensor_files import read_tensors, state_dict, translating_networks  # noqa: E402
from instagan.io.writing import make_folder, write_together  # noqa: E402
from instagan.networks.blocks import TRANSPOSED  # noqa: E402
from models import MODELS  # noqa: E402
from options.parse import parse_training  # noqa: E402


def to_run(options: argparse.Namespace, flags: list[str]) -> str:
    """Published weights -> a run's folder; returns what was done, in a line. flags: those of train.py."""
    folder = options.published if options.published.is_dir() else options.published.parent
    networks = published_networks(folder, options.epoch)
    for needed in ("G_A", "G_B"):
        if needed not in networks:
            raise InputError(
                f"{folder / f'{options.epoch}_net_{needed}.pth'}: no such file; a run needs both generators"
            )
    told = {**published_options(folder), **_discriminators(networks)}
    given = ["--name", options.name, "--checkpoints_dir", str(options.checkpoints_dir)]
    for name, value in told.items():
        given += [] if value is False else [f"--{name}"] if value is True else [f"--{name}", str(value)]
    if not any(flag.startswith("--dataroot") for flag in flags):
        given += ["--dataroot", f"datasets/{options.name}"]
    values = parse_training([*given, *flags]).values
    run = RunFolder(options.checkpoints_dir, values.name)
    if run.path.resolve() == folder.resolve():
        raise InputError(f"--name {options.name} is the folder of the published weights itself; choose another --name")
    if run.tags() and not options.overwrite:
        raise InputError(f"{run.path} holds a run already; choose another --name, or delete it with --overwrite")
    model = MODELS[values.model].from_options(values)
    restore_networks({"networks": networks}, model)
    run.create()
    run.clear()
    run.save_options(values)
    run.save(list(dict.fromkeys((LATEST, options.epoch))), model, Progress())
    fresh = [name for name in model.networks if name not in networks]
    missing = f"; {', '.join(fresh)} were not there and begin anew" if fresh else ""
    return f"{run.path}: {', '.join(networks)} of {values.model} at ngf {values.ngf}{missing}"


def _discriminators(networks: Mapping[str, Mapping[str, Tensor]]) -> dict[str, int]:
    """Sizes of the discriminators, as options, where there is one."""
    for name, weights in networks.items():
        stack = [key for key in weights if key.startswith(("image_features.", "features.")) and weights[key].ndim == 4]
        if name.startswith("D") and stack:
            return {"ndf": weights[stack[0]].shape[0], "n_layers_D": len(stack)}
    return {}


def to_files(options: argparse.Namespace) -> str:
    """A run's checkpoint -> published files; returns what was done, in a line."""
    path = options.run / f"{options.epoch}.pth" if options.run.is_dir() else options.run
    content = read_tensors(path)
    if not isinstance(content, Mapping) or not isinstance(content.get("networks"), Mapping):
        raise InputError(f"{path} is no checkpoint of a run; pass the folder of a run")
    told = content.get("options") or inference_options(path.with_name(OPTIONS))
    if told.get("upsample", TRANSPOSED) != TRANSPOSED:
        raise InputError(f"{path} was trained with --upsample {told['upsample']}, which published files cannot hold")
    if any(Description.read(one, str(path)).config.get("attributes") for one in content.get("translators") or ()):
        raise InputError(f"{path} knows keypoints or parts, which published files cannot hold")
    files = {}
    for name, weights in translating_networks(content).items():
        try:
            published = to_published(
                {key: tensor.contiguous() for key, tensor in state_dict(weights, str(path)).items()}
            )
        except ValueError as error:
            raise InputError(f"{path}: {error}; only insta_gan and cycle_gan were published") from None
        save = partial(torch.save, published, _use_new_zipfile_serialization=not options.old_format)
        files[options.output / f"{path.stem}_net_{name}.pth"] = save
    text = "".join(f"{name:>25}: {value}\n" for name, value in told.items())
    files[options.output / PUBLISHED_OPTIONS] = lambda file: file.write_text(text)
    make_folder(options.output, "pass another --output")
    write_together(files)
    return f"{options.output}: {', '.join(file.name for file in files)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr; 130 when stopped."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--published", type=Path, metavar="DIR", help="folder of published weights, or one of its files")
    way.add_argument("--run", type=Path, metavar="DIR", help="folder of a run, or a checkpoint in it")
    add("--epoch", default=LATEST, help="which checkpoint")
    add("--name", help="with --published: name of the run to write")
    add("--checkpoints_dir", type=Path, default=Path("checkpoints"), metavar="DIR", help="where runs are kept")
    add("--overwrite", action="store_true", help="with --published: replace a run of that name")
    add("--output", type=Path, metavar="DIR", help="with --run: folder for the published weights")
    add("--old_format", action="store_true", help="with --run: files that versions of torch before 1.6 read")
    return exit_code("convert_checkpoint.py", lambda: _convert(*parser.parse_known_args(argv)))


def _convert(options: argparse.Namespace, flags: list[str]) -> None:
    if options.published and not options.name:
        raise InputError("--name is missing: pass the name of the run to write")
    if options.run and not options.output:
        raise InputError("--output is missing: pass the folder for the published weights")
    if options.run and flags:
        raise InputError(f"{flags[0]} is unknown with --run; see --help")
    print(one_line(to_run(options, flags) if options.published else to_files(options)))


if __name__ == "__main__":
    sys.exit(main())
