"""Which pictures train and which validate, drawn from a seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np


def validation_part(groups: Sequence[Hashable], share: float, seed: int) -> list[bool]:
    """For each picture whether it validates. ``groups``: the domains each one is in.

    Every group is split by itself, so that the share holds for both domains and a picture that is in both is never
    trained on in one and validated on in the other. A group of two or more has members on both sides if 0 < share < 1.
    """
    members: defaultdict[Hashable, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    validates = [False] * len(groups)
    for number, group in enumerate(sorted(members, key=str)):
        indices = members[group]
        count = round(len(indices) * share)
        if 0 < share < 1 and len(indices) > 1:
            count = min(max(count, 1), len(indices) - 1)
        order = np.random.default_rng((seed, number)).permutation(len(indices))
        for position in order[:count]:
            validates[indices[int(position)]] = True
    return validates
