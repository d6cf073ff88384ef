"""The precisions of the networks, and what the processor can do: whether it has instructions for bfloat16."""

from __future__ import annotations

import re
from pathlib import Path

import torch

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Values of --precision -> what the networks compute in."""
INSTRUCTIONS = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX", "bf16": "Arm BF16", "svebf16": "Arm SVE BF16"}
"""A flag of /proc/cpuinfo -> what it is usually called."""


def read_cpuinfo(file: Path = Path("/proc/cpuinfo")) -> str | None:
    """The system's description of the processor; None where there is none (macOS, Windows)."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return None


def bf16_instructions(cpuinfo: str | None) -> list[str] | None:
    """Names of the processor's bfloat16 instructions, from the text of /proc/cpuinfo; None where that is unknown."""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo or "", re.MULTILINE)
    if found is None:
        return None
    flags = set(found[1].split())
    return [name for flag, name in INSTRUCTIONS.items() if flag in flags]


def slow_bf16(precision: str, device_type: str, cpuinfo: str | None) -> str | None:
    """One sentence where ``precision`` bf16 would run without such instructions; None where all is well or unknown."""
    if precision != "bf16" or device_type != "cpu" or bf16_instructions(cpuinfo) != []:
        return None
    return (
        "--precision bf16 is much slower than float32 on this processor, which has neither AVX512-BF16 nor "
        "AMX instructions; use --precision fp32"
    )
