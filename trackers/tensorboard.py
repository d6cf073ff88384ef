"""TensorBoard: scalars and pictures as event files, for those who have it installed."""

from __future__ import annotations

import threading
from pathlib import Path

import torch

from engine.schedule import Progress
from instagan.errors import InputError
from instagan.io.overlay import overlay
from instagan.io.pixels import to_bytes
from pages.text import readable
from trackers import Losses, Paths, Pictures
from trackers.loss_log import VALIDATION

ROWS = 4
"""Pictures shown of each batch."""


class TensorBoard:
    """Writes event files to ``folder``; points of steps after ``start`` (of a killed run) disappear from the plots.

    Raises ``InputError`` where tensorboard is not installed.
    """

    def __init__(self, folder: str | Path, start: Progress) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError("--tensorboard needs the package tensorboard: pip install tensorboard") from error
        _leave_full_disks_to_the_next_call()
        self._writer = SummaryWriter(str(folder), purge_step=start.steps + 1 if start.steps else None)

    def losses(self, progress: Progress, losses: Losses, facts: Losses) -> None:
        for kind, values in (("losses", losses), ("run", facts)):
            for name, value in values.items():
                tag = f"validation/{name.removeprefix(VALIDATION)}" if name.startswith(VALIDATION) else f"{kind}/{name}"
                self._writer.add_scalar(tag, value, progress.steps)

    def pictures(self, progress: Progress, pictures: Pictures, paths: Paths) -> None:
        for source, batches in pictures.items():
            for name, batch in batches.items():
                for row in range(min(ROWS, len(batch))):
                    tag = f"from_{source}_{row}/{name}"
                    self._writer.add_image(tag, to_bytes(batch.image[row]), progress.steps, dataformats="HWC")
                    if batch.slot_count:
                        drawn = overlay(batch.image[row], batch.masks[row], batch.present[row])
                        pixels = torch.frombuffer(bytearray(drawn.tobytes()), dtype=torch.uint8)
                        pixels = pixels.view(drawn.height, drawn.width, 3)  # (H, W, 3)
                        self._writer.add_image(f"{tag}_masks", pixels, progress.steps, dataformats="HWC")
            for row, path in enumerate(paths.get(source, ())[:ROWS]):
                self._writer.add_text(f"from_{source}_{row}/file", readable(Path(path).name), progress.steps)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def _leave_full_disks_to_the_next_call() -> None:
    """TensorBoard's writing thread ends with a traceback on the terminal, and its next call raises the same again."""
    earlier = threading.excepthook

    def hook(ended: threading.ExceptHookArgs) -> None:
        own = type(ended.thread).__module__.startswith("tensorboard.")
        if not (own and issubclass(ended.exc_type, OSError)):
            earlier(ended)

    threading.excepthook = hook
