"""The peak memory of one training step of one variant: of the process on the CPU, of torch's allocator on CUDA."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.speed.measuring import reason
from benchmarks.speed.runs import ENDED
from benchmarks.speed.variants import SMALLEST, Variant, Workload, build
from instagan.errors import InputError

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FORGET_PEAK = "5"
"""What Linux wants to be written to ``clear_refs`` to begin a new high-water mark."""


@dataclass(frozen=True)
class Peak:
    """Bytes at most during a step, and how many of them were not there before it."""

    peak: int
    above: int
    method: str


def peak_of(variant: Variant, workload: Workload) -> Peak | str:
    """The peak, or why there is none."""
    try:
        if workload.device.startswith("cuda"):
            return _allocated(variant, workload)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
            return fresh.submit(resident, variant, workload, torch.get_num_threads()).result()
    except BrokenProcessPool:
        return ENDED
    except (InputError, RuntimeError) as error:
        return reason(error)


def resident(variant: Variant, workload: Workload, threads: int) -> Peak:
    """In a process of its own, whose resident memory has never been larger than now."""
    torch.set_num_threads(threads)
    system = build(variant, workload)
    warm_up = replace(workload, size=SMALLEST[workload.method], instances=(1, 1), batch_size=1)
    system.training_step(warm_up.pair())  # makes the optimizers' state
    pair = workload.pair()
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc: gives back what the warm-up freed
    with suppress(OSError):
        CLEAR.write_text(FORGET_PEAK)
    before = _status("VmRSS") or _most_resident()
    system.training_step(pair)
    peak = most_resident()
    settings = {name: value for name, value in sorted(os.environ.items()) if name.startswith(("MALLOC_", "LD_PRELOAD"))}
    allocator = ", ".join(f"{name}={value}" for name, value in settings.items()) or "no MALLOC_* settings"
    return Peak(peak, peak - before, f"resident memory of a fresh process, {threads} threads, {allocator}")


def _allocated(variant: Variant, workload: Workload) -> Peak:
    """Tensors and workspaces of torch on the GPU; the second step of the real size is the one that counts."""
    try:
        system = build(variant, workload)
        pair = workload.pair().to(system.device)
        system.training_step(pair)
        torch.cuda.synchronize(system.device)
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated(system.device)
        torch.cuda.reset_peak_memory_stats(system.device)
        system.training_step(pair)
        peak = torch.cuda.max_memory_allocated(system.device)
        return Peak(peak, peak - before, "torch.cuda.max_memory_allocated")
    finally:
        system = pair = None  # type: ignore[assignment]
        gc.collect()
        torch.cuda.empty_cache()


def most_resident() -> int:
    """Bytes of this process that were resident at once, at most."""
    return _status("VmHWM") or _most_resident()


def _status(name: str) -> int | None:
    """A size in bytes that Linux tells of this process; elsewhere None."""
    with suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None


def _most_resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
