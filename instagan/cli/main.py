"""Uses trained models, and tells what this machine can do.

python -m instagan translate --model M --image x.jpg --masks m0.png m1.png --output y.png
python -m instagan app --model M
python -m instagan doctor
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence

from PIL import Image

from instagan.cli import app, doctor, translate
from instagan.cli.ending import exit_code
from instagan.flag_types import SentenceParser

COMMANDS = {"translate": translate, "app": app, "doctor": doctor}
"""Subcommand -> a module with ``add_options(parser)`` and ``run(options) -> exit code``. Its docstring is the help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr; 130 when stopped."""
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large pictures are what memory decides on


    def command() -> int:
        options = command_line(argv)
        return COMMANDS[options.command].run(options)

    return exit_code("instagan", command, "interrupted; the files written so far are whole")


def command_line(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags, checked one by one. Raises ``InputError``."""
    return _parser().parse_args(argv)


def _parser() -> SentenceParser:
    parser = SentenceParser(
        prog="python -m instagan",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        about = module.__doc__ or ""
        command = commands.add_parser(
            name,
            help=about.partition("\n")[0],
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_options(command)
    return parser
