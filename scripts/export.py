#!/usr/bin/env python
"""Writes a trained model as a file with a model card beside it, for other people and programs.

    python scripts/export.py --model checkpoints/NAME --output NAME.safetensors [--figures results.json ...]
    python scripts/export.py --model checkpoints/NAME --output NAME.onnx --format onnx [--to b]
    python scripts/export.py --model checkpoints/NAME --output NAME.pt2 --format torch_export [--to b]

The card, NAME.json, tells the options, sizes, data and figures of the model. The file holds the generators alone,
or one of them: onnx and torch_export write a file for each direction, NAME_to_a and NAME_to_b.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.prepared import Prepared  # noqa: E402
from instagan.cli.ending import exit_code  # noqa: E402
from instagan.errors import InputError  # noqa: E402
from instagan.inference.exporting import onnx_format, safetensors_format, torch_export_format  # noqa: E402
from instagan.inference.exporting.card import model_card  # noqa: E402
from instagan.inference.trained import read_directions, read_trained  # noqa: E402
from instagan.io.options_file import options_of  # noqa: E402
from instagan.io.writing import make_folder, write_whole  # noqa: E402
from trackers.loss_log import last_losses  # noqa: E402

FORMATS = {"safetensors": safetensors_format, "onnx": onnx_format, "torch_export": torch_export_format}
"""--format -> a module with ``ENDING``, and ``export(directions, card, output, options)`` -> the files, and a few words
on each. Its docstring is the help."""
DATA_OPTIONS = ("dataset_mode", "phase", "resize_or_crop", "load_size_w", "load_size_h", "fine_size_w", "fine_size_h")


def export(options: argparse.Namespace) -> str:
    """Writes the model and its card; returns what was done, a line each file."""
    module = FORMATS[options.format]
    output: Path = options.output
    if output.suffix != module.ENDING:
        raise InputError(f"--output {output}: a file of --format {options.format} ends in {module.ENDING}")
    if options.to == "both":
        directions = read_directions(options.model, options.epoch)
    else:
        directions = {options.to: read_trained(options.model, options.to, options.epoch)}
    folder = options.model if options.model.is_dir() else options.model.parent
    losses = last_losses(folder / "loss_log.jsonl")
    card = model_card(options.name or output.stem, directions, _data(options_of(folder)), losses, options.figures)
    make_folder(output.parent)
    files = module.export(directions, card, output, options)
    card["sizes"]["bytes"] = {file.name: file.stat().st_size for file in files}
    beside = output.with_suffix(".json")
    write_whole(beside, lambda scratch: scratch.write_text(json.dumps(card, indent=2) + "\n"))
    told = [f"{file}: {file.stat().st_size / 1e6:.1f} MB, {about}" for file, about in files.items()]
    return "\n".join([*told, f"{beside}: model card"])


def _data(run: Mapping[str, Any]) -> dict[str, Any]:
    """What a run learned from, by its options: no paths; categories and counts where dataset.json tells them."""
    told = {name: run[name] for name in DATA_OPTIONS if name in run}
    if run.get("dataroot"):
        root = Path(run["dataroot"])
        told |= {"name": root.resolve().name} | Prepared.read(root).summary()
    return told


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr; 130 when stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    about = "; ".join(f"{name}: {(module.__doc__ or '').splitlines()[0]}" for name, module in FORMATS.items())
    add("--model", type=Path, required=True, help="run folder, checkpoint, exported model or published weights")
    add("--output", type=Path, required=True, metavar="FILE", help="file to write; the card goes beside it")
    add("--format", choices=tuple(FORMATS), default="safetensors", help=about)
    add("--to", choices=("a", "b", "both"), default="both", help="domain to translate to (both: all that there are)")
    add("--epoch", default="latest", help="checkpoint of a run folder: an epoch's number, or latest")
    add("--name", help="name of the model in its card (default: of the file)")
    add(
        "--figures",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="json files of measured figures, for the card",
    )
    options = parser.parse_args(argv)
    return exit_code("export.py", lambda: print(export(options)))


if __name__ == "__main__":
    sys.exit(main())
