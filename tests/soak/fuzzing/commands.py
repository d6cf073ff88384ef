"""What ``python -m instagan`` takes: its command lines, and drawings on its page."""

from __future__ import annotations

from pathlib import Path

from instagan.cli.main import command_line
from instagan.cli.web.drawing import painted
from tests.soak.fuzzing.command_lines import flag_target
from tests.soak.fuzzing.hostile import altered
from tests.soak.fuzzing.target import Target

SIZE = (24, 16)
TRANSLATING = (
    "--model", "--image", "--images", "--masks", "--output", "--to", "--epoch", "--threshold", "--max_side",
    "--feather", "--ins_per", "--category", "--annotations", "--precision", "--device", "--port",
)  # fmt: skip
STROKES = [
    {"instance": 0, "width": 0.05, "points": [[0.1, 0.1], [0.9, 0.2], [0.5, 0.9], [0.1, 0.1]]},
    {"instance": 3, "width": 0.001, "points": [[0.5, 0.5]]},
]


def _drawn(strokes: object, folder: Path) -> None:
    for mask in painted(strokes, SIZE, fill=True):
        assert mask.shape == SIZE[::-1] and mask.any()


def targets() -> list[Target]:
    return [
        flag_target("instagan's flags", command_line, TRANSLATING, ["translate"], 200),
        Target("drawing", altered([STROKES]), _drawn, 600),
    ]
