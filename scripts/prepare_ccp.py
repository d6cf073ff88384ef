#!/usr/bin/env python
r"""Makes a two-domain data set from Clothing Co-Parsing (CCP): one mask for each picture and label.

    python scripts/prepare_ccp.py --data_root datasets/clothing-co-parsing --save_root datasets/sweater2coat_ccp \
        --cat1 sweater --cat2 coat

The 1004 photos with pixel labels are split into train and val by a seed, so that both have masks of both domains.
Stopped, it goes on where it was when run again. What is written is told in docs/data.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.preparing.ccp import plan_ccp  # noqa: E402
from data.preparing.tasks import Plan  # noqa: E402
from scripts.preparation import add_split, bar, category_names, parser_for, run  # noqa: E402


def plan(args: argparse.Namespace) -> Plan:
    return plan_ccp(args.data_root, category_names(args), args.val_share, args.seed, args.workers, bar("scanning"))


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr; 130 when stopped."""
    parser = parser_for(__doc__, size="300x450")
    parser.add_argument("--data_root", type=Path, required=True, metavar="DIR", help="folder of photos/, annotations/")
    add_split(parser, val_share=0.1)
    return run(argv, parser, plan)


if __name__ == "__main__":
    sys.exit(main())
