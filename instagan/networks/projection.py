"""Projection of features before they are compared: the head H of CUT, one for every layer that is looked at."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

LENGTH_EPS = 1e-7
"""Added to the length of a projected feature before it is divided by it."""


class ProjectionHeads(nn.ModuleList):
    """One head with two linear layers for every tapped layer; what it gives has length 1.

    channels: of each tapped layer; width: of what every head gives.
    """

    def __init__(self, channels: Sequence[int], width: int = 256) -> None:
        super().__init__(
            nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width)) for count in channels
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """One (B, S, C) for each tapped layer -> as many (B, S, width)."""
        projected = [head(feature).to(feature) for head, feature in zip(self, features, strict=True)]
        return [one / (one.norm(dim=-1, keepdim=True) + LENGTH_EPS) for one in projected]
