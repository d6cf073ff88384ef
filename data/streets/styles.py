"""The looks of the two domains: each has several, so that a scene has more than one right translation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from data.streets.canvas import WINDOWS, Material

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Style:
    """How a scene looks. Colours and lights are RGB, 1 is white.

    sky         at the top and at the horizon; clouds: their colour and how much of the sky they cover
    disc        of sun or moon: its colour, its radius in 1/64 of the height; None without any; stars: how many
    glow        colour of the light around the end of the street
    light       what falls on everything but the materials in ``special``: by night signs shine back, persons stay dark
    sun         how hard shadows are, 0 to 1
    haze        its colour, and how much of it lies in a metre
    lamps       how bright lamps are, 0 to 1; windows: share of the windows that are lit
    wet         how much of the lamps the road reflects; rain: drops in an image of 96 x 64; noise: standard deviation
    """

    name: str
    domain: str
    sky: tuple[Rgb, Rgb]
    clouds: tuple[Rgb, float]
    light: Rgb
    haze: tuple[Rgb, float]
    special: Mapping[Material, Rgb] = field(default_factory=dict)
    disc: tuple[Rgb, float] | None = None
    stars: int = 0
    glow: Rgb = (0.0, 0.0, 0.0)
    saturation: float = 1.0
    sun: float = 0.0
    lamps: float = 0.0
    windows: float = 0.0
    wet: float = 0.0
    rain: int = 0
    noise: float = 0.008

    def lit_windows(self) -> int:
        """How many of the kinds of windows are lit."""
        return round(self.windows * WINDOWS)


CLEAR = Style(
    "clear", "A",
    sky=((0.25, 0.52, 0.90), (0.72, 0.87, 0.98)),
    clouds=((0.99, 0.99, 1.0), 0.32),
    disc=((1.0, 0.97, 0.80), 3.2),
    light=(1.10, 1.05, 0.96),
    saturation=1.12,
    sun=1.0,
    haze=((0.74, 0.85, 0.95), 0.006),
)  # fmt: skip
OVERCAST = Style(
    "overcast", "A",
    sky=((0.74, 0.76, 0.80), (0.88, 0.89, 0.90)),
    clouds=((0.93, 0.93, 0.94), 0.75),
    light=(0.82, 0.84, 0.87),
    saturation=0.72,
    haze=((0.82, 0.84, 0.86), 0.014),
)  # fmt: skip
DUSK = Style(
    "dusk", "B",
    sky=((0.13, 0.13, 0.33), (0.92, 0.50, 0.36)),
    clouds=((0.62, 0.30, 0.40), 0.35),
    glow=(0.55, 0.28, 0.06),
    light=(0.36, 0.29, 0.40),
    special={Material.PERSON: (0.15, 0.12, 0.18), Material.SIGN: (1.0, 0.93, 0.90)},
    saturation=0.9,
    haze=((0.72, 0.42, 0.38), 0.012),
    lamps=0.85,
    windows=0.35,
    noise=0.014,
)  # fmt: skip
DEEP_NIGHT = Style(
    "deep_night", "B",
    sky=((0.015, 0.02, 0.07), (0.07, 0.09, 0.20)),
    clouds=((0.06, 0.07, 0.13), 0.2),
    disc=((0.96, 0.95, 0.84), 2.3),
    stars=26,
    light=(0.12, 0.14, 0.24),
    special={Material.PERSON: (0.06, 0.065, 0.10), Material.SIGN: (0.98, 0.97, 0.94)},
    saturation=0.75,
    haze=((0.05, 0.06, 0.13), 0.012),
    lamps=1.0,
    windows=0.5,
    noise=0.022,
)  # fmt: skip
RAIN = Style(
    "rain", "B",
    sky=((0.10, 0.11, 0.14), (0.27, 0.26, 0.29)),
    clouds=((0.22, 0.22, 0.25), 0.6),
    light=(0.21, 0.22, 0.26),
    special={Material.PERSON: (0.09, 0.095, 0.115), Material.SIGN: (0.88, 0.89, 0.92)},
    saturation=0.6,
    haze=((0.25, 0.25, 0.29), 0.028),
    lamps=1.0,
    windows=0.65,
    wet=0.8,
    rain=70,
    noise=0.018,
)  # fmt: skip
STYLES = {"A": (CLEAR, OVERCAST), "B": (DUSK, DEEP_NIGHT, RAIN)}
