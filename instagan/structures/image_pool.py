"""A memory of earlier fakes for the discriminator."""

from __future__ import annotations

from typing import Any

import torch

from instagan.structures.instances import InstanceBatch

RENAMED = {"masks": "given_masks"}
"""Fields that checkpoints of earlier versions call otherwise."""


class ImagePool:
    """Keeps up to ``size`` earlier fakes and shows the discriminator a mix of old and new (Shrivastava et al. 2017).

    Works row by row: while the pool is not full a row is stored and shown; then, with even odds, it is shown
    unstored, or stored in place of a random older row, which is shown instead. Draws come from the pool's own
    generator, so that they are part of its state. ``size`` 0 shows every row as it is.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size = size
        self.generator = torch.Generator().manual_seed(seed)
        self.rows: list[InstanceBatch] = []

    def query(self, batch: InstanceBatch) -> InstanceBatch:
        """As many rows as came in, detached; N may grow to that of an older row."""
        if self.size == 0:
            return batch.detach()
        return InstanceBatch.cat([self._exchange(batch[row : row + 1].detach()) for row in range(len(batch))])

    def _exchange(self, row: InstanceBatch) -> InstanceBatch:
        if len(self.rows) < self.size:
            self.rows.append(row)
            return row
        if torch.rand((), generator=self.generator) < 0.5:
            return row
        place = int(torch.randint(self.size, (), generator=self.generator))
        shown, self.rows[place] = self.rows[place], row
        return shown

    def forget_not_finite(self) -> None:
        """Lets rows go that hold a value which is not finite. Waits for their device, as ``query`` never does."""
        self.rows = [row for row in self.rows if _is_finite(row)]

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next query depends on, as tensors and plain containers; only rows that are finite."""
        kept = [row for row in self.rows if _is_finite(row)]
        return {"rows": [row.fields() for row in kept], "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any], device: torch.device | str = "cpu") -> None:
        """Restores what ``state_dict`` returned; rows beyond this pool's size are forgotten."""
        rows = [{RENAMED.get(name, name): tensor for name, tensor in row.items()} for row in state["rows"]]
        self.rows = [InstanceBatch.from_fields(row).to(device) for row in rows[: self.size]]
        self.generator.set_state(state["generator"].cpu())


def _is_finite(row: InstanceBatch) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in row.fields().values())
