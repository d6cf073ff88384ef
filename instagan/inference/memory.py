"""How much memory a translation takes, how much there is, and what would fit."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import torch

from instagan.inference.registry import Description
from instagan.inference.sizes import SMALLEST_SIDE
from instagan.networks.blocks import TRANSPOSED

PICTURE_ALONE, BESIDE_MASKS, FOR_EACH_MASK = 14, 10, 38
"""Bytes for every pixel and filter of the first layer (``ngf``), measured in float32 on a CPU: the mask decoder's last
layers hold 3 ngf channels at full size for each mask that is translated at a time."""
SETS = ("set", "targeted_set")
OTHERS_ALONE = {"anti_aliased": 18, "content_style": 22, "content_memory": 44}
"""The same of generators that hold more: convolutions before the resolution is halved, 5x5 ones after it is doubled."""
RESIZED = 1.3
"""How much more generators with resize convolutions take: channels at full size before they become fewer."""
HALF = 0.55
"""How much of that bf16 and fp16 take."""
SURE = 0.8
"""Share of the free memory that advice counts on."""


def needed(description: Description, pixels: int, at_once: int, precision: str = "fp32") -> int:
    """Bytes that the networks take at their peak for a picture of so many pixels and so many masks at a time."""
    with_masks = BESIDE_MASKS + FOR_EACH_MASK * at_once if description.kind in SETS else 0
    alone = OTHERS_ALONE.get(description.kind, PICTURE_ALONE)
    each = description.config["ngf"] * max(alone, with_masks)
    each *= 1 if description.config.get("upsample", TRANSPOSED) == TRANSPOSED else RESIZED
    return int(pixels * each * (1 if precision == "fp32" else HALF))


def side_that_fits(size: tuple[int, int], need: int, free: int | None) -> int | None:
    """The longer side to which a picture of this height and width must be shrunk; None if nothing would do.

    need: bytes that it takes as it is; free: those there are, None if nobody knows: then half of the side. At most 9/10
    of the side, which was too much.
    """
    longest = max(size)
    share = 0.5 if free is None else math.sqrt(max(free, 0) * SURE / need)
    side = int(longest * min(share, 0.9))
    side -= side % (16 if side >= 64 else 4)
    return side if side >= SMALLEST_SIDE else None


def free_memory(device: torch.device) -> int | None:
    """Bytes that may still be allocated on the device; None if that cannot be told."""
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu" or not sys.platform.startswith("linux"):
        return None
    return min(
        (value for value in (_available(), _left_of_group(), _left_of_limit()) if value is not None), default=None
    )


def _available() -> int | None:
    """What the machine has left."""
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _left_of_group(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a container's limit leaves; files that the kernel can read again do not count."""
    limit, used = ("".join(_lines(folder / f"memory.{name}")).strip() for name in ("max", "current"))
    if not (limit.isdecimal() and used.isdecimal()):
        return None
    statistics = dict(line.split() for line in _lines(folder / "memory.stat") if len(line.split()) == 2)
    return int(limit) - int(used) + int(statistics.get("inactive_file", 0))


def _left_of_limit() -> int | None:
    """What ulimit -v leaves."""
    import resource  # there is none on Windows

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    taken = "".join(_lines(Path("/proc/self/statm"))).split()
    if limit == resource.RLIM_INFINITY or not taken:
        return None
    return limit - int(taken[0]) * os.sysconf("SC_PAGE_SIZE")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
