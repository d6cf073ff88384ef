"""Figures of every direction with all that must stand beside them, as plain json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import instagan
from evaluation.system import Direction, System
from instagan.metrics import PROTOCOL
from instagan.metrics.figures import ALL, METRICS, Figure
from instagan.metrics.judges import Judges
from instagan.metrics.measuring import Measured, Row, measure
from instagan.metrics.verdict import Verdict, verdict

FORMAT = 1
PER_PICTURE = (
    "background_mae", "background_psnr", "background_ssim", "background_lpips", "picture_score", "instance_score",
    "agreement", "truth_both",
)  # fmt: skip
"""What is told of single pictures."""


@dataclass(frozen=True)
class Finding:
    """One direction measured."""

    direction: Direction
    measured: Measured
    verdict: Verdict

    @property
    def figures(self) -> list[Figure]:
        return self.measured.figures


@dataclass(frozen=True)
class Report:
    """All that report.json and report.html tell."""

    system: System
    judges: Judges
    seeds: Sequence[int]
    findings: Sequence[Finding]
    written: str

    @classmethod
    def of(cls, system: System, judges: Judges, seeds: Sequence[int]) -> Report:
        findings = []
        for direction in system.directions:
            measured = measure(
                direction.outcomes, direction.references, judges.knowing(direction.references.truth), seeds
            )
            figures = measured.figures + _costs(direction)
            findings.append(Finding(direction, Measured(measured.rows, figures), verdict(figures)))
        return cls(system, judges, seeds, findings, datetime.now(timezone.utc).isoformat(timespec="seconds"))

    def provenance(self) -> dict[str, Any]:
        """What stands beside every figure."""
        return {
            "protocol": PROTOCOL,
            "system": self.system.name,
            "checkpoint": self.system.checkpoint,
            "step": self.system.step,
            "seeds": list(self.seeds),
            "device": str(self.judges.device),
        }

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            **self.provenance(),
            "made_by": f"instagan {instagan.__version__}",
            "written": self.written,
            "facts": dict(self.system.facts),
            "judges": {
                "features": self.judges.features.name,
                "classifier": self.judges.classifier.name,
                "lpips": self.judges.lpips is not None,
                "agreement": self.judges.finder[0] if self.judges.finder else None,
            },
            "directions": {one.direction.name: self._direction(one) for one in self.findings},
        }

    def _direction(self, finding: Finding) -> dict[str, Any]:
        told = finding.verdict
        return {
            "verdict": {"code": told.code, "tone": told.tone, "sentence": told.sentence},
            "pictures": len(finding.measured.rows),
            "instances": sum(row.outcome.count for row in finding.measured.rows),
            "notes": list(finding.direction.notes),
            "figures": [self._figure(figure) for figure in finding.figures],
            "each_picture": [_picture(row) for row in finding.measured.rows],
        }

    def _figure(self, figure: Figure) -> dict[str, Any]:
        about = METRICS[figure.metric]
        return {
            "metric": figure.metric,
            "group": figure.group,
            "value": figure.value,
            "std": figure.std,
            "n": figure.n,
            "of": figure.of,
            "unit": about.unit,
            "better": about.better,
            "by": figure.by,
            **figure.details,
            **self.provenance(),
        }


def _costs(direction: Direction) -> list[Figure]:
    cost, n = direction.cost, len(direction.outcomes)
    if cost is None:
        return []
    return [
        Figure("seconds", ALL, cost.seconds, n, details={"threads": cost.threads}),
        Figure("peak_memory", ALL, cost.peak_memory / 2**30, n, details={"memory_of": cost.memory_of}),
        Figure("parameters", ALL, float(cost.parameters), 1, "generator"),
    ]


def _picture(row: Row) -> dict[str, Any]:
    found = {name: row.value(name) for name in PER_PICTURE}
    told = {name: round(value, 6) for name, value in found.items() if value is not None}
    return {"name": row.outcome.name, "instances": row.outcome.count, **told}
