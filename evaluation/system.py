"""What is evaluated: translations of one system, by direction, and what must stand beside their figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from evaluation.pictures import Cost
from instagan.metrics.judges import References
from instagan.metrics.outcome import Outcome


@dataclass(frozen=True, eq=False)
class Direction:
    """source and target: letters of the folders. notes: sentences on what could not be measured, or how."""

    source: str
    target: str
    outcomes: Sequence[Outcome]
    references: References
    cost: Cost | None = None
    notes: Sequence[str] = ()

    @property
    def name(self) -> str:
        return f"{self.source}to{self.target}"


@dataclass(frozen=True, eq=False)
class System:
    """checkpoint and step: None where results do not tell them."""

    name: str
    directions: Sequence[Direction]
    checkpoint: str | None = None
    step: int | str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
