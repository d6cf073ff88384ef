"""Losses (paper section 2.2): pure functions that give one value for each of the B rows, (B,)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from instagan.structures.instances import InstanceBatch


def lsgan(scores: Tensor, real: float) -> Tensor:
    """Least squares: (D - 1)^2 where the scores should look real, D^2 where fake."""
    return (scores - float(real)).square().mean((1, 2, 3))


def vanilla(scores: Tensor, real: float) -> Tensor:
    """Binary cross entropy of the scores taken as logits. real: True, False, or a probability between them."""
    wanted = torch.full_like(scores, float(real))
    return functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none").mean((1, 2, 3))


def over_scales(loss: Callable[[Tensor, float], Tensor], of_scales: Sequence[Tensor], real: float) -> Tensor:
    """One of the two above, summed over the score maps of a discriminator's scales."""
    return torch.stack([loss(scores, real) for scores in of_scales]).sum(0)


def kl_to_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The Kullback-Leibler divergence of a normal distribution from N(0, I), summed over its numbers (B, S)."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)


def l1(made: Tensor, target: Tensor) -> Tensor:
    """|x - x'|_1: the mean over all but the rows."""
    return (made - target).abs().flatten(1).mean(1)


def mode_seeking(one: Tensor, other: Tensor, style: Tensor, other_style: Tensor, eps: float = 1e-5) -> Tensor:
    """1 / (distance of two images of one content / distance of their styles + eps): styles that differ are to show."""
    return 1 / (l1(one, other) / l1(style, other_style) + eps)


def set_l1(made: InstanceBatch, target: InstanceBatch) -> Tensor:
    """|(x, a) - (x', a')|_1: the mean over all 3 + N channels.

    Absent slots add nothing to the sum but count in the mean, as in the published system. Attribute planes that
    ``made`` has beside its masks add to the sum alone, so that the picture weighs as much as without them.
    """
    planes = 0 if made.given_attributes is None else made.given_attributes.shape[2]  # A
    rasters = (made.rasters(planes) - target.rasters(planes)).flatten(1, 2)  # (B, N (1 + A), H, W)
    difference = torch.cat([made.image - target.image, rasters], dim=1)  # (B, 3 + N (1 + A), H, W)
    counted = difference.shape[1] - made.slot_count * planes  # 3 + N
    return difference.abs().mean((1, 2, 3)) * (difference.shape[1] / counted)


def context_l1(source: InstanceBatch, translated: InstanceBatch, importance: Tensor | float = 1.0) -> Tensor:
    """|w * (x - y')|_1 with w = 1 where neither a nor b' has an instance, else 0 (context-preserving loss).

    The mean goes over all pixels and channels, not only over those with weight, as in the published system.
    importance (B, 1, H, W): by which w is multiplied.
    """
    weight = (1 - source.with_slots_of(translated).union()) / 2 * importance  # (B, 1, H, W)
    return (weight * (source.image - translated.image)).abs().mean((1, 2, 3))
