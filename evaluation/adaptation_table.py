"""The results of ``adapt_detector.py`` -> tables in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
SOURCE, ORACLE, BOTH = "source", "oracle", "source+"
"""Names of rows; BOTH begins those that learn from source and translated images."""


def tables(results: Record) -> str:
    """results: the content of results.json."""
    categories, rows = list(results["categories"]), results["rows"]
    parts = [
        *_table(["learnt from", *_columns(categories), "gap closed, AP", "AP50"], _names(rows), rows, categories, True)
    ]
    judged = results["translated_source"]
    if judged:
        parts += ["", f"Translated-source detection: the oracle on {results['held_out']}, judged by source boxes.", ""]
        parts += _table(["images", *_columns(categories)], _names(judged), judged, categories, False)
    if results["label_noise"]:
        parts += ["", f"Label noise: objects of {results['held_out']} not found at their boxes once translated.", ""]
        parts += _header(["translated by", "all", *categories])
        parts += [_line([name, *_noise(counts, categories)]) for name, counts in results["label_noise"].items()]
    return "\n".join(parts)


def gap_closed(rows: Sequence[Record], name: str, figure: str = "ap") -> float | None:
    """How much of the way from ``source`` to ``oracle`` a row has gone, by means over the seeds: 0 as the first, 1 as
    the second. None where one of them is missing, or the oracle is not the better one."""
    if not all(_of(rows, one) for one in (SOURCE, ORACLE, name)):
        return None
    source, oracle, own = (_mean([row[figure] for row in _of(rows, one)]) for one in (SOURCE, ORACLE, name))
    return (own - source) / (oracle - source) if oracle > source else None


def _columns(categories: Sequence[str]) -> list[str]:
    return ["AP", "AP50", *(f"AP {name}" for name in categories)]


def _names(rows: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(str(row["row"]) for row in rows))


def _of(rows: Sequence[Record], name: str) -> list[Record]:
    return [row for row in rows if row["row"] == name]


def _table(
    heads: Sequence[str], names: Sequence[str], rows: Sequence[Record], categories: Sequence[str], gaps: bool
) -> list[str]:
    lines = _header(heads)
    for name in names:
        own = _of(rows, name)
        picks: list[Callable[[Record], Any]] = [lambda row: row["ap"], lambda row: row["ap50"]]
        picks += [lambda row, kind=kind: row["classes"][kind] for kind in categories]  # type: ignore[misc]
        cells = [_cell([pick(row) for row in own]) for pick in picks]
        if gaps:
            shares = [gap_closed(rows, name, figure) for figure in ("ap", "ap50")]
            cells += ["-" if share is None else f"{share:.0%}" for share in shares]
        lines.append(_line([_told(name), *cells]))
    return lines


def _told(name: str) -> str:
    """A row in words."""
    if name == SOURCE:
        return "source only"
    return f"source + {name.removeprefix(BOTH)}" if name.startswith(BOTH) else name


def _cell(values: Sequence[float | None]) -> str:
    """In percent: the mean and, of several seeds, the lowest and the highest."""
    known = [100 * value for value in values if value is not None]
    if not known:
        return "-"
    spread = f" ({min(known):.1f} to {max(known):.1f})" if len(known) > 1 else ""
    return f"{_mean(known):.1f}{spread}"


def _noise(counts: Mapping[str, Sequence[int]], categories: Sequence[str]) -> list[str]:
    """Of all and of each class: the share that is not found, and how many there are."""
    every = [sum(counts[name][place] for name in categories) for place in (0, 1)]
    return [f"{1 - found / there:.1%} of {there}" if there else "-" for found, there in (
        every, *(counts[name] for name in categories)
    )]  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _header(heads: Sequence[str]) -> list[str]:
    return [_line(heads), "|" + "---|" * len(heads)]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
