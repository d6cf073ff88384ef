"""One markdown table of what benchmarks/gpu_report.sh measured: python benchmarks/speed/gpu_table.py FOLDER OUT.

FOLDER holds files written with ``benchmark.py ... --json``. What is not there was not measured, and the table says so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from benchmarks.speed.measuring import Spread, described  # noqa: E402
from benchmarks.speed.variants import OURS, PUBLISHED  # noqa: E402
from instagan.io.writing import write_whole  # noqa: E402

HEADER = ("figure", "variant", "value", "times published", "aim")
NOT_MEASURED = "not measured"
Row = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Training:
    """A variant's training at one batch size; ``times``: median of published / it, per picture."""

    variant: str
    batch: int
    rate: Spread
    times: float | None
    of_matmul: float | None
    of_convolution: float | None

    @property
    def fast(self) -> bool:
        """Whether this is what the aims are about: bf16 and compiled."""
        return {"bf16", "compile"} <= set(self.variant.split("-"))


def read(folder: Path) -> list[dict[str, Any]]:
    """All figures of a folder. A file that a stopped measurement left unfinished is as good as none."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(json.loads(path.read_text()))
        except ValueError:
            continue
    return found


def document(reports: Sequence[dict[str, Any]]) -> str:
    """The table, with the machine above it and what was left out below."""
    facts = reports[0]["machine"] if reports else None
    rows = [*_training_rows(_trainings(reports)), *_memory_rows(reports), *_translate_rows(reports)]
    lines = [f"Measured on {described(facts)}." if facts else "Nothing was measured.", ""]
    lines += [f"{name}." for name in dict.fromkeys(_sizes(report) for report in reports)] + [""] * bool(reports)
    lines += [_line(HEADER), _line(["---"] * len(HEADER)), *(_line(row) for row in rows)]
    notes = list(dict.fromkeys(note for report in reports for note in _notes(report)))
    return "\n".join([*lines, *([""] if notes else []), *(f"- {note}" for note in notes)]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _sizes(report: dict[str, Any]) -> str:
    a, b = report["instances"]
    return (
        f"{report['size']} x {report['size']} pixels, ngf {report['ngf']}, ndf {report['ndf']}, {a} + {b} instances, "
        f"ins_max {report['ins_max']}, ins_per {report['ins_per']}"
    )


def _trainings(reports: Sequence[dict[str, Any]]) -> list[Training]:
    """Every variant and batch size once: where published was measured beside it, if it was measured twice."""
    measured = [
        (name, int(batch), figures)
        for report in reports
        if report["command"] == "step"
        for batch, found in report["batches"].items()
        for name, figures in found["variants"].items()
    ]
    alone = [figures["pictures_per_second"]["median"] for name, batch, figures in measured if name == PUBLISHED]
    found: dict[tuple[str, int], Training] = {}
    for name, batch, figures in sorted(measured, key=lambda one: "published/it" in one[2]):
        rate = Spread.from_figures(figures["pictures_per_second"])
        times = figures.get("published/it", {}).get("median") or (rate.median / alone[0] if alone else None)
        shares = figures.get("of_matmul_ceiling"), figures.get("of_conv_ceiling")
        found[name, batch] = Training(name, batch, rate, times, *shares)
    return sorted(found.values(), key=lambda one: (one.variant != PUBLISHED, one.variant, one.batch))


def _training_rows(trainings: Sequence[Training]) -> Iterator[Row]:
    fast = [one for one in trainings if one.fast]
    best = max(fast, key=lambda one: one.rate.median, default=None)
    for one in trainings:
        aims = ["3" if one.batch == 1 else ""] if one.fast else []
        aims += ["10, the best batch"] if one is best else []
        figure = f"training, pictures/s, batch {one.batch}"
        yield figure, one.variant, str(one.rate), _times(one.times), " and ".join(aim for aim in aims if aim)
    if not fast:
        yield "training, pictures/s, bf16 and compiled", OURS, NOT_MEASURED, "", "3 at batch 1, 10 at the best"
    figure = "share of the bf16 matrix product ceiling" + (f", batch {best.batch}" if best else "")
    share = f"{best.of_matmul:.0%}" if best and best.of_matmul else NOT_MEASURED
    yield figure, best.variant if best else OURS, share, "", "35%"
    if best and best.of_convolution:
        yield (
            f"share of the convolution ceiling, batch {best.batch}",
            best.variant,
            f"{best.of_convolution:.0%}",
            "",
            "",
        )


def _memory_rows(reports: Sequence[dict[str, Any]]) -> Iterator[Row]:
    found = [report for report in reports if report["command"] == "memory"]
    if not found:
        yield "peak memory of a step", OURS, NOT_MEASURED, "", ""
    for report in found:
        points = [point for point in report["variants"] if "peak" in point]
        base = next((point["peak"] for point in points if point["variant"] == PUBLISHED), None)
        for point in points:
            figure = f"peak memory of a step, GiB, {point['instances']} instances"
            yield figure, point["variant"], _gib(point), _times(point["peak"] / base if base else None), ""
        growth = [point for point in report["growth"]["points"] if "peak" in point]
        for point in growth:
            yield f"peak memory of a step, GiB, {point['instances']} instances", point["variant"], _gib(point), "", ""
        for name, share in report["growth"]["of_peak"].items():
            if share is not None:
                counts = [point["instances"] for point in growth if point["variant"] == name]
                yield f"its growth from {min(counts)} to {max(counts)} instances", name, f"{share:+.1%}", "", "5%"


def _translate_rows(reports: Sequence[dict[str, Any]]) -> Iterator[Row]:
    found = [report for report in reports if report["command"] == "translate"]
    if not found:
        yield "translating a picture, ms", OURS, NOT_MEASURED, "", ""
    for report in found:
        for batch, variants in report["batches"].items():
            for name, figures in variants.items():
                seconds = Spread.from_figures(figures["seconds"])
                shown = Spread(1e3 * seconds.median, 1e3 * seconds.low, 1e3 * seconds.high)
                times = _times(figures.get("published/it", {}).get("median"))
                yield f"translating a picture, ms, batch {batch}", name, str(shown), times, ""


def _notes(report: dict[str, Any]) -> Iterator[str]:
    missing = report.get("missing", [])
    for name, why in missing.items() if isinstance(missing, dict) else ():
        yield f"{name} ({report['command']}) is left out: {why}"
    if not isinstance(missing, dict):
        yield from missing
    for name, limit in report.get("ceilings", {}).items():
        told = {kind.replace("_", " "): value for kind, value in limit.items() if value}
        yield f"ceiling, {name}, TFLOP/s: " + ", ".join(f"{kind} {value / 1e12:.3g}" for kind, value in told.items())


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _gib(point: dict[str, Any]) -> str:
    return f"{point['peak'] / 2**30:.2f}"


def main(argv: Sequence[str]) -> int:
    folder, out = (Path(word) for word in argv)
    text = document(read(folder))
    write_whole(out, lambda scratch: scratch.write_text(text))
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
