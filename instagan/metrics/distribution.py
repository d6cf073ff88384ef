"""How far apart two sets of features are: Frechet distance (FID) and kernel distance (KID). Features are (n, D)."""

# torch-fidelity would take features, too, but brings torchvision along, which training with built-in features does not
# need, and its root of a covariance matrix fails where there are fewer images than features.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SUBSETS, SUBSET_SIZE = 100, 1000
"""Of KID, as torch-fidelity and the published figures have it; sets of fewer pictures make smaller subsets."""
LEAST = 2
"""Fewer pictures have no covariance."""


@dataclass(frozen=True)
class KernelDistance:
    """Mean and standard deviation over subsets, and how many of which size they were."""

    mean: float
    std: float
    subsets: int
    subset_size: int


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """|mean difference|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of two sets of features, as if they were normal.

    Heusel et al., GANs trained by a two time-scale update rule, 2017. The trace of the root is the sum of the roots of
    the eigenvalues of S1^(1/2) S2 S1^(1/2), which is symmetric. Raises ``ValueError`` for fewer than two of either.
    """
    _check(one, other, LEAST)
    one, other = one.astype(np.float64), other.astype(np.float64)
    apart = one.mean(0) - other.mean(0)
    first, second = np.atleast_2d(np.cov(one, rowvar=False)), np.atleast_2d(np.cov(other, rowvar=False))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ second @ root)
    return float(apart @ apart + np.trace(first) + np.trace(second) - 2 * np.sqrt(product.clip(0)).sum())


def kernel_distance(
    one: np.ndarray, other: np.ndarray, seed: int, subsets: int = SUBSETS, subset_size: int | None = None
) -> KernelDistance:
    """Unbiased squared maximum mean discrepancy with the kernel (x y / D + 1)^3, over random subsets without repeats.

    Binkowski et al., Demystifying MMD GANs, 2018. The same draws as torch-fidelity's for a seed. A subset has
    ``SUBSET_SIZE`` features, or half of the smaller set if that is less: else all subsets would be alike. It may come
    out a little below 0. Raises ``ValueError`` as above.
    """
    _check(one, other, LEAST)
    one, other = one.astype(np.float64), other.astype(np.float64)
    fewest = min(len(one), len(other))
    size = min(SUBSET_SIZE, max(LEAST, fewest // 2)) if subset_size is None else min(subset_size, fewest)
    random = np.random.RandomState(seed)
    found = []
    for _ in range(subsets):
        x = one[random.choice(len(one), size, replace=False)]
        y = other[random.choice(len(other), size, replace=False)]
        found.append(_discrepancy(_kernel(x, x), _kernel(x, y), _kernel(y, y)))
    return KernelDistance(float(np.mean(found)), float(np.std(found)), subsets, size)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _discrepancy(xx: np.ndarray, xy: np.ndarray, yy: np.ndarray) -> float:
    """From kernel matrices (m, m): pairs of a picture with itself do not count."""
    m = len(xx)
    within = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def _check(one: np.ndarray, other: np.ndarray, least: int) -> None:
    if one.ndim != 2 or other.ndim != 2 or one.shape[1] != other.shape[1]:
        raise ValueError(f"features must be (n, D) with one D, not {one.shape} and {other.shape}")
    if min(len(one), len(other)) < least:
        raise ValueError(f"{len(one)} and {len(other)} pictures are too few; {least} of each are needed")
