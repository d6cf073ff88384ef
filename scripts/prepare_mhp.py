#!/usr/bin/env python
r"""Makes a two-domain data set from Multi-Human Parsing (LV-MHP-v1): one mask for each person and label.

    python scripts/prepare_mhp.py --data_root datasets/LV-MHP-v1 --save_root datasets/pants2dress_mhp \
        --cat1 pants --cat2 dress

Its two lists become the phases train and test. Pictures wider than high are left out unless --no_skip_horizontal is
given, as in the published program. Stopped, it goes on where it was when run again. See docs/data.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.preparing.mhp import plan_mhp  # noqa: E402
from data.preparing.tasks import Plan  # noqa: E402
from scripts.preparation import category_names, parser_for, run  # noqa: E402


def plan(args: argparse.Namespace) -> Plan:
    return plan_mhp(args.data_root, category_names(args), portrait_only=not args.no_skip_horizontal)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr; 130 when stopped."""
    parser = parser_for(__doc__, size="300x450")
    parser.add_argument("--data_root", type=Path, required=True, metavar="DIR", help="folder of images/, annotations/")
    parser.add_argument("--no_skip_horizontal", action="store_true", help="take images wider than high, too")
    return run(argv, parser, plan)


if __name__ == "__main__":
    sys.exit(main())
