"""The main figures in a few lines, for the terminal."""

from __future__ import annotations

from evaluation.findings import Report
from instagan.metrics import PROTOCOL
from instagan.metrics.figures import METRICS, figure_of

SHOWN = tuple(name for name in METRICS if name not in ("background_claimed", "change", "parameters"))


def summary(report: Report) -> str:
    system, lines = report.system, []
    step = "" if system.step is None else f", step {system.step}"
    lines.append(
        f"{system.name}: {system.checkpoint or 'checkpoint not told'}{step}; protocol {PROTOCOL}, seeds "
        f"{' '.join(map(str, report.seeds))}, {report.judges.device}"
    )
    for finding in report.findings:
        direction = finding.direction
        pictures, instances = len(direction.outcomes), sum(one.count for one in direction.outcomes)
        lines.append(f"{direction.source} to {direction.target}: {pictures} pictures, {instances} instances")
        lines.append(f"  {finding.verdict.sentence}")
        for name in SHOWN:
            figure = figure_of(finding.figures, name)
            if figure:
                about = METRICS[name]
                std = "" if figure.std is None else f" +- {figure.std:.{about.digits}f}"
                by = f" ({figure.by})" if figure.by else ""
                lines.append(f"  {about.title:<27} {figure.value:>9,.{about.digits}f}{std}  n={figure.n}{by}")
        lines += [f"  note: {note}" for note in direction.notes]
    return "\n".join(lines)
