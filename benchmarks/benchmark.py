#!/usr/bin/env python
"""Measures how fast the project works beside what it is compared with; variants take turns in one run.

    python benchmarks/benchmark.py step --precision fp32 bf16
    python benchmarks/benchmark.py loader --dataroot datasets/shp2gir --phase val --workers 0 1 2

Prints a table of medians with their range; --json FILE keeps the figures. How the published figures were taken is
told in docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.speed import kernels, loader, memory, scaling, step, translate  # noqa: E402
from benchmarks.speed.measuring import described, load, machine  # noqa: E402
from instagan.cli.ending import exit_code  # noqa: E402
from instagan.io.writing import write_whole  # noqa: E402

COMMANDS = {
    "step": step,
    "memory": memory,
    "translate": translate,
    "kernels": kernels,
    "loader": loader,
    "scaling": scaling,
}
"""Subcommand -> a module with ``add_options(parser)``, and ``measure(options) -> figures for --json, table``. Its
docstring is the help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr; 130 when stopped."""
    options = _parser().parse_args(argv)
    return exit_code("benchmark.py", lambda: _measure(options))


def _measure(options: argparse.Namespace) -> None:
    before = load()
    figures, table = COMMANDS[options.command].measure(options)
    facts = machine(figures.get("device", "cpu")) | {"load_before": before}
    print(f"{options.command}: {described(facts)}", table, sep="\n")
    if options.json:
        content = json.dumps({"command": options.command, "machine": facts} | figures, indent=1) + "\n"
        write_whole(options.json, lambda scratch: scratch.write_text(content))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        about = (module.__doc__ or "").partition(": ")[2]
        command = commands.add_parser(
            name,
            help=about.partition("\n")[0],
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_options(command)
        command.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
