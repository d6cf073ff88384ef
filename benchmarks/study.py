#!/usr/bin/env python
"""Compares methods on one protocol: a yaml says data, methods, seeds and budgets.

    python benchmarks/study.py benchmarks/streets.yaml --runs results/streets
    python benchmarks/study.py benchmarks/streets.yaml --methods munit init --seeds 0
    python benchmarks/study.py benchmarks/streets.yaml --quick                         # a few steps, a few images

Every run trains until it has had the updates and the seconds of processor time (on one thread; on a GPU, of the clock)
that the yaml names, and translates the validation images when either is reached: equal updates, and equal time. A run
that is finished is a json file in --runs, and is not trained again; one that was stopped goes on where it was saved
last. Tables and figures are drawn from these files, into --document between the marks of the study.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.ablations.study import keep, keep_picture  # noqa: E402
from benchmarks.studies.figure import strip_of  # noqa: E402
from benchmarks.studies.images import RealImages  # noqa: E402
from benchmarks.studies.judging import JUDGES, Judge  # noqa: E402
from benchmarks.studies.plan import PROTOCOL, SECONDS, UPDATES, Plan, chosen, read_plan  # noqa: E402
from benchmarks.studies.process import in_a_process_of_its_own  # noqa: E402
from benchmarks.studies.references import write_references  # noqa: E402
from benchmarks.studies.report import STRIPS, draw_figures, part_of, put_into, strip_file  # noqa: E402
from benchmarks.studies.tables import WAYS  # noqa: E402
from benchmarks.studies.training import (  # noqa: E402
    cell_name,
    check_settings,
    train,
    translations,
    work_folder,
)
from instagan.cli.ending import exit_code  # noqa: E402
from instagan.errors import InputError  # noqa: E402
from instagan.flag_types import finite, whole  # noqa: E402
from instagan.io.writing import make_folder  # noqa: E402

PREPARED, REFERENCES = "prepared.json", "references.json"
COMMON = ("protocol", "judge", "images", "styles", "budgets", "values")
"""Settings that all runs of a table share."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr; 130 when stopped: what was saved is kept."""
    options = _parser().parse_args(argv)
    return exit_code("study.py", lambda: _study(options), "interrupted; the same command goes on from what was saved")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path, help="yaml of the study, such as benchmarks/streets.yaml")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="where runs are kept (default: results/NAME)")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="which of the yaml's (default: all)")
    parser.add_argument("--seeds", type=whole(0), nargs="+", metavar="N", help="in the place of the yaml's")
    parser.add_argument(
        "--updates", type=whole(1), metavar="N", help="with --seconds, in the place of the yaml's budgets"
    )
    parser.add_argument("--seconds", type=finite(above=True), metavar="S", help="as --updates")
    parser.add_argument("--quick", action="store_true", help="as the yaml says under quick: a few steps and images")
    parser.add_argument("--report", action="store_true", help="train nothing, write the document from the runs")
    parser.add_argument("--document", type=Path, metavar="FILE", help="what is written (default: report.md in --runs)")
    return parser


def _study(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    plan = read_plan(options.plan, options.quick)
    asked = {name: value for name in (UPDATES, SECONDS) if (value := getattr(options, name)) is not None}
    plan = replace(plan, budgets=asked or plan.budgets)
    if plan.judge not in JUDGES:
        raise InputError(f"{options.plan}: judge is {plan.judge}; write one of {', '.join(JUDGES)}")
    name = options.plan.stem + ("_quick" if options.quick else "")
    study = Study(plan, (options.runs or Path("results") / name).resolve())
    cells = chosen(plan, options.methods, options.seeds)
    if not options.report:
        study.run(cells)
    study.write(options.plan.stem, options.document or study.runs / "report.md")


class Study:
    """A plan, and where its runs are kept."""

    def __init__(self, plan: Plan, runs: Path) -> None:
        self.plan, self.runs = plan, runs

    def run(self, cells: Sequence[tuple[str, int]]) -> None:
        """Trains and measures what is not there yet."""
        references = self.is_finished(self.runs / REFERENCES, self.settings)
        missing = [cell for cell in cells if not self.is_finished(self.file_of(*cell), self.plan.settings(cell[0]))]
        self.prepare([method for method, _ in missing])
        if not references:
            self.measure_references()
        for number, (method, seed) in enumerate(missing, 1):
            name = cell_name(method, seed)
            _tell(f"{number} of {len(missing)}: {name}")
            looks = in_a_process_of_its_own(name, train, self.plan, self.runs, method, seed, _tell)
            for budget, look in looks.items():
                translated = translations(self.runs, method, seed, budget)
                look["figures"] = self.judge.figures(translated)
                self.keep_strips(translated, f"{name}-{budget}")
            facts = {"method": method, "title": self.plan.methods[method].title, "seed": seed}
            settings = self.plan.settings(method)
            keep(self.file_of(method, seed), {**facts, "settings": settings, "torch": version(), "looks": looks})

    def file_of(self, method: str, seed: int) -> Path:
        return self.runs / f"{cell_name(method, seed)}.json"

    def is_finished(self, file: Path, settings: dict[str, Any]) -> bool:
        """Raises ``InputError`` where the file is of other settings."""
        if file.exists():
            check_settings(file, read_json(file).get("settings", {}), settings)
        return file.exists()

    def prepare(self, methods: Sequence[str]) -> None:
        """Makes what is not there yet, each in a program of its own. Raises ``InputError`` if one fails."""
        make_folder(work_folder(self.runs), "pass another --runs")
        file = self.runs / PREPARED
        done = read_json(file) if file.exists() else {}
        for one in self.plan.prepare:
            needed = not one.methods or set(one.methods) & set(methods)
            command = self.plan.command(one, self.runs)
            asked = {"command": one.command, "values": dict(self.plan.values)}
            if needed and (one.makes not in done or not asked.items() <= done[one.makes].items()):
                _tell(f"{self.plan.told(one.makes, self.runs)}: {' '.join(command)}")
                before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
                if code := subprocess.run([sys.executable, *command], cwd=ROOT).returncode:
                    raise InputError(f"{command[0]} ended with exit code {code}, and the study needs what it makes")
                seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
                done[one.makes] = {**asked, "seconds": round(seconds, 1)}
                keep(file, done)

    def measure_references(self) -> None:
        folder = work_folder(self.runs) / "references"
        streets = self.dataroot if self.plan.judge == "streets" else None
        made = write_references(folder, self.real, self.plan.styles, streets)
        rows = {}
        for name, written in made:
            rows[name] = self.judge.figures(written)
            self.keep_strips(written, name)
        keep(self.runs / REFERENCES, {"settings": self.settings, "judged_by": self.judge.by, "rows": rows})

    def keep_strips(self, folder: Path, name: str) -> None:
        """What the figures show of a folder of translations."""
        make_folder(self.runs / STRIPS)
        for way in WAYS:
            if strip := strip_of(folder, way[-1], self.plan.styles):
                keep_picture(strip_file(self.runs, name, way), strip)

    def write(self, name: str, document: Path) -> None:
        """The study's part of the document, and beside it the figures, from all runs of the plan that there are."""
        files = [file for method in self.plan.methods for file in sorted(self.runs.glob(f"{method}-seed*.json"))]
        runs = [read_json(file) for file in files]
        if not runs:
            raise InputError(f"--runs {self.runs} holds no finished run; leave out --report to train some")
        for file, run in zip(files, runs, strict=True):
            for key in COMMON:
                if (told := run.get("settings", {}).get(key)) != runs[0]["settings"][key]:
                    raise InputError(f"{file} has {key} {told}, and {files[0]} another one; keep them in two folders")
        images = document.parent / "images"
        figures = [f"images/{file.name}" for file in draw_figures(runs, self.runs, images, f"{document.stem}_{name}")]
        prepared = read_json(self.runs / PREPARED) if (self.runs / PREPARED).exists() else {}
        put_into(document, name, part_of(runs, read_json(self.runs / REFERENCES), prepared, figures))
        _tell(f"{len(runs)} runs; read {document}")

    @property
    def settings(self) -> dict[str, Any]:
        """What decides on the references."""
        plan = self.plan
        told = {"protocol": PROTOCOL, "judge": plan.judge, "images": plan.images, "styles": plan.styles}
        return {**told, "values": dict(plan.values)}

    @property
    def dataroot(self) -> Path:
        return Path(self.plan.told(self.plan.dataroot, self.runs))

    @cached_property
    def judge(self) -> Judge:
        return JUDGES[self.plan.judge](self.dataroot, self.real)

    @cached_property
    def real(self) -> RealImages:
        return RealImages(self.plan, self.runs)


def read_json(file: Path) -> dict[str, Any]:
    """Raises ``InputError`` where there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}[""]
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; the command without --report makes it") from None
    except (OSError, ValueError, KeyError):
        raise InputError(f"{file} is no json of a study; remove it, and what it tells is found again") from None


def version() -> str:
    return torch.__version__.partition("+")[0]


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no process of ours goes on alone
    sys.exit(main())
