"""Variants made ready to be timed: built, run once, and those that cannot run left out with the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from instagan.errors import InputError
from instagan.instances import UnpairedBatch
from options.device import wait_for
from scripts.benchmarks.ceiling import counted
from scripts.benchmarks.variants import PRECISIONS, System, Variant, Workload, build

Use = Callable[[System, UnpairedBatch], object]
"""What is timed of a system."""


@dataclass(frozen=True)
class Runs:
    """By variant: the system, what to time (returns when the device is done), FLOPs if counted; why others are not."""

    systems: dict[str, System] = field(default_factory=dict)
    calls: dict[str, Callable[[], None]] = field(default_factory=dict)
    flops: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def notes(self) -> list[str]:
        return [f"{name} is left out: {why}" for name, why in self.missing.items()]


def first_runs(variants: Sequence[Variant], workload: Workload, use: Use) -> Runs:
    """Every variant has run once. Raises ``InputError`` if none can."""
    runs = Runs()
    for variant in variants:
        try:
            system = build(variant, workload)
            call = partial(_finished, use, system, workload.pair().to(system.device))
            if set(variant.switches) <= set(PRECISIONS):  # compiled code is not counted, recomputing does not count
                runs.flops[variant.name] = counted(call)
            else:
                call()
        except InputError as error:
            runs.missing[variant.name] = str(error)
        except RuntimeError as error:  # not enough memory, or something that cannot be compiled here
            runs.missing[variant.name] = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        else:
            runs.systems[variant.name], runs.calls[variant.name] = system, call
    if not runs.calls:
        raise InputError(f"nothing to measure: {'; '.join(runs.notes())}")
    return runs


def _finished(use: Use, system: System, pair: UnpairedBatch) -> None:
    use(system, pair)
    wait_for(system.device)
