"""Features at chosen layers of a network, as PatchNCE and other losses on features need them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from torch import Tensor, nn

from instagan.networks.blocks import NormalisedEncoder


def features_at(layers: nn.Sequential, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
    """What the layers of these indices give of x (B, C, H, W), one tensor per tap, in the order of the taps.

    Runs no further than the last tap; -1 is the last layer, as in a list: ``*features, y = features_at(layers, x,
    (0, 4, 8, -1))``. Raises IndexError where there is no such layer. Nothing later changes a feature in place.
    """
    places = [range(len(layers))[tap] for tap in taps]
    found: dict[int, Tensor] = {}
    features = x
    precision = getattr(layers, "autocast", None)  # accelerated layers have one
    with precision(x.device.type) if precision else nullcontext():
        for place, layer in enumerate(list(layers)[: max(places, default=-1) + 1]):
            if getattr(layer, "inplace", False) and place - 1 in found:
                features = features.clone()  # nn.ReLU(inplace=True) would change what the layer before it gave
            features = layer(features)
            if place in places:
                found[place] = features
    if isinstance(layers, NormalisedEncoder):
        first = layers.first_norm
        found = {place: layers.without_noise(of, x) if place >= first else of for place, of in found.items()}
    return [found[place] for place in places]
