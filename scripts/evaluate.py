#!/usr/bin/env python
"""Measures translations and writes report.json and report.html; docs/evaluation.md tells what each figure means.

    python scripts/evaluate.py --run checkpoints/NAME [--phase val] [--epoch best] [--seeds 0 1 2]
    python scripts/evaluate.py --results DIR [--dataroot DATA] [--pattern real=... fake=... ...]

--run translates the pictures of a data set with a run of train.py; flags of test.py that are not named here, such as
--ins_max 8, are passed on. --results takes what any system has written: names as test.py's or the published program's
are understood, others are told with --pattern.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine.endings import ENDINGS, ending  # noqa: E402
from evaluation.asking import judges_of  # noqa: E402
from evaluation.findings import Report  # noqa: E402
from evaluation.flags import parse  # noqa: E402
from evaluation.foreign import read_results  # noqa: E402
from evaluation.own_run import read_run  # noqa: E402
from evaluation.page import report_page  # noqa: E402
from evaluation.summary import summary  # noqa: E402
from instagan.io.writing import make_folder, write_together  # noqa: E402


def evaluate(flags: argparse.Namespace, others: Sequence[str]) -> str:
    """Measures and writes; returns a summary."""
    judges = judges_of(flags)  # first: weights that do not fit are told before anything is translated
    system = read_run(flags, others) if flags.run else read_results(flags)
    report = Report.of(system, judges, flags.seeds)
    folder: Path = flags.output_dir
    make_folder(folder, "pass another --output_dir")
    content = json.dumps(report.as_json(), indent=1, allow_nan=False) + "\n"
    shown = report_page(report)
    write_together(
        {
            folder / "report.json": lambda path: path.write_text(content, encoding="utf-8"),
            folder / "report.html": lambda path: path.write_bytes(shown),
        }
    )
    return f"{summary(report)}\nlook at {folder / 'report.html'}; all figures are in {folder / 'report.json'}"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr; 130 when stopped."""
    try:
        print(evaluate(*parse(argv, __doc__ or "")))
        return 0
    except ENDINGS as error:
        return ending("evaluate.py", error, sys.stderr.write)


if __name__ == "__main__":
    sys.exit(main())
