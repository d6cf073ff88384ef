"""A drawn scene and a style -> an image. Letters: H x W image; colours are RGB, 1 is white."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from data.streets.canvas import SUPERSAMPLING, WINDOWS, Canvas, Emitter, Layers, Material, reduced
from data.streets.objects import Light, draw_thing
from data.streets.scene import UNITS, Scene
from data.streets.street import draw_beside, draw_street, shaded_ground
from data.streets.styles import STYLES, Style

HEADLIGHTS, TAIL_LIGHTS, STREET_LAMPS = (3.2, 3.1, 2.8), (2.4, 0.22, 0.12), (3.0, 2.5, 1.5)
"""Brighter than white, so that a lamp still is white where it covers a part of a pixel only."""
WINDOW_LIGHTS = (
    (1.15, 0.86, 0.42), (1.1, 0.78, 0.36), (1.2, 0.98, 0.6), (1.05, 0.8, 0.5), (1.1, 0.9, 0.5), (1.0, 0.7, 0.3),
)  # fmt: skip
GLOWS = ((1.0, 0.35), (3.2, 0.22), (8.0, 0.12))
"""Halos around lamps: radius in 1/64 of the height, and how bright."""
WARM, COOL = np.array((1.0, 0.80, 0.48)), np.array((0.9, 0.92, 1.0))
GROUND = (Material.ROAD, Material.PAVEMENT)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A scene at one size, before any light. lamps: of each object, those that it has; shadow: (H, W) in [0, 1]."""

    scene: Scene
    layers: Layers
    lamps: tuple[tuple[Light, ...], ...]
    shadow: np.ndarray


def drawn(scene: Scene, width: int, height: int) -> Drawn:
    """Everything from far to near; what no style changes: so all renderings of a scene have the same objects."""
    canvas = Canvas(width, height)
    draw_street(canvas, scene)
    lamps: dict[int, tuple[Light, ...]] = {}
    nearer = [(one.z, number, one) for number, one in enumerate(scene.things)]
    for beside in sorted(scene.beside, key=lambda one: -one.z):
        draw_beside(canvas, scene, beside)
    for _, number, thing in sorted(nearer, key=lambda one: -one[0]):
        lamps[number] = tuple(draw_thing(canvas, scene.camera, thing, number + 1))
    large = Image.new("L", (width * SUPERSAMPLING, height * SUPERSAMPLING))
    ImageDraw.Draw(large).polygon([(u * canvas.scale, v * canvas.scale) for u, v in shaded_ground(scene)], fill=255)
    shadow = np.asarray(large.reduce(SUPERSAMPLING), dtype=np.float64) / 255
    return Drawn(scene, canvas.layers(len(scene.things)), tuple(lamps[k] for k in range(len(lamps))), shadow)


def render(of: Drawn, style: Style) -> np.ndarray:
    """(H, W, 3) uint8."""
    layers, scene = of.layers, of.scene
    rng = np.random.default_rng([scene.weather, *style.name.encode()])
    grey = layers.colour.mean(2, keepdims=True)  # (H, W, 1)
    surface = grey + style.saturation * (layers.colour - grey)
    lit = surface * _light(of, style)  # (H, W, 3)
    colour, density = style.haze
    haze = 1 - np.exp(-density * (layers.distance - 6).clip(0))[..., None]  # (H, W, 1)
    lit = lit * (1 - haze) + np.array(colour) * haze
    sky = layers.shares[Material.SKY][..., None]  # (H, W, 1)
    image = lit * (1 - sky) + _sky(scene, style, sky.shape[:2], rng) * sky
    if style.lamps:
        image = image + _shine(layers, style)
    if style.rain:
        image = image + _rain(style, image.shape[:2], rng) * np.array((0.75, 0.8, 0.9))
    image = image + rng.normal(0, style.noise, image.shape)
    return np.rint(image.clip(0, 1) * 255).astype(np.uint8)


def _light(of: Drawn, style: Style) -> np.ndarray:
    """What light falls on each pixel: (H, W, 3)."""
    shares, scene = of.layers.shares, of.scene
    falls = np.tile(np.array(style.light), (len(Material), 1))  # (materials, 3)
    for material, light in style.special.items():
        falls[material] = light
    for material, side in ((Material.HOUSE_LEFT, -1), (Material.HOUSE_RIGHT, 1)):
        falls[material] *= 1 - 0.22 * style.sun * side * scene.sun  # the sun is behind the houses of its own side
    light = np.tensordot(shares, falls, (0, 0))  # (H, W, 3)
    ground = shares[list(GROUND)].sum(0)  # (H, W)
    light = light * (1 - 0.4 * style.sun * of.shadow * ground)[..., None]
    if style.lamps:
        shone_on = ground + 0.25 * (shares[Material.HOUSE_LEFT] + shares[Material.HOUSE_RIGHT] + shares[Material.CAR])
        light = light + style.lamps * shone_on[..., None] * _pools(of)
    return light


def _pools(of: Drawn) -> np.ndarray:
    """The ground under street lamps, before headlights, and before our own car: (H, W, 3)."""
    height, width = of.shadow.shape
    camera = of.scene.camera
    v, u = (np.mgrid[0:height, 0:width] + 0.5) * UNITS / height  # (H, W) each
    light = np.zeros((height, width, 3))
    for lamp in of.scene.beside:
        if lamp.kind == "lamp":
            x, y = camera.at(lamp.side * (of.scene.half - 0.3), 0, lamp.z)
            wide = camera.size(3.4, lamp.z)
            light += 0.55 * WARM * np.exp(-(((u - x) / wide) ** 2) - ((v - y) / (0.32 * wide)) ** 2)[..., None]
    for thing, lamps in zip(of.scene.things, of.lamps, strict=True):
        if lamps and thing.oncoming:
            x, y = camera.at(thing.x + 0.2, 0, thing.z - 1.6)
            wide = camera.size(1.5, thing.z - 1.6)
            light += 0.5 * COOL * np.exp(-(((u - x) / wide) ** 2) - ((v - y) / (0.3 * wide)) ** 2)[..., None]
    near = ((v - camera.horizon - 6) / 26).clip(0, 1) ** 0.7
    beam = 0.42 * near * np.exp(-(((u - camera.vanishing) / (0.33 * camera.width)) ** 2))
    return light + COOL * beam[..., None]


def _sky(scene: Scene, style: Style, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Gradient, clouds, sun or moon, stars, glow at the end of the street: (H, W, 3)."""
    height, width = size
    camera = scene.camera
    v, u = (np.mgrid[0:height, 0:width] + 0.5) * UNITS / height  # (H, W) each
    down = (v / camera.horizon).clip(0, 1)[..., None]  # (H, W, 1)
    top, low = (np.array(colour) for colour in style.sky)
    sky = top * (1 - down**1.3) + low * down**1.3
    if style.stars:
        places = rng.uniform(0, 1, (style.stars, 3))
        for x, y, bright in places.tolist():
            away = ((u - x * camera.width) ** 2 + (v - y * 0.8 * camera.horizon) ** 2) / 0.25
            sky = sky + ((0.25 + 0.5 * bright) * np.exp(-away))[..., None]
    if style.disc:
        colour, radius = style.disc
        x, y = camera.vanishing + scene.sun * 0.1 * camera.width, 0.3 * camera.horizon
        away = np.hypot(u - x, v - y)
        disc = (radius + 0.5 - away).clip(0, 1)[..., None]
        sky = sky + 0.3 * np.array(colour) * np.exp(-(away / (2.2 * radius)))[..., None]
        sky = sky * (1 - disc) + np.array(colour) * disc
    colour, cover = style.clouds
    cells = rng.uniform(-1, 1, (6, 5)).astype(np.float32)
    noise = np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    cloud = ((noise - (1 - 2 * cover) + 0.25) / 0.6).clip(0, 1)[..., None] * 0.85
    sky = sky * (1 - cloud) + np.array(colour) * cloud
    around = np.exp(-(((u - camera.vanishing) / (0.3 * camera.width)) ** 2) - ((v - camera.horizon) / 12) ** 2)
    return sky + np.array(style.glow) * around[..., None]


def _shine(layers: Layers, style: Style) -> np.ndarray:
    """Lamps and lit windows, their halos, and on a wet road their reflections: (H, W, 3) to be added."""
    table = np.zeros((Emitter.WINDOW + WINDOWS, 3))
    table[[Emitter.HEADLIGHT, Emitter.TAIL_LIGHT, Emitter.STREET_LAMP]] = HEADLIGHTS, TAIL_LIGHTS, STREET_LAMPS
    lit = style.lit_windows()
    table[Emitter.WINDOW : Emitter.WINDOW + lit] = WINDOW_LIGHTS[:lit]
    parts = table[layers.emitters]  # (4 H, 4 W, 3)
    light = style.lamps * np.stack([reduced(parts[..., channel]) for channel in range(3)], 2)  # (H, W, 3)
    scale = light.shape[0] / UNITS
    halo = sum(weight * blurred(light, radius * scale) for radius, weight in GLOWS)
    found = light + halo
    if style.wet:
        mirror, keep = np.zeros_like(light), 0.9 ** (1 / scale)
        soft = blurred(light, 0.6 * scale)
        for line in range(1, len(light)):  # each line of the road shows what shines above it, ever weaker
            mirror[line] = np.maximum(soft[line], keep * mirror[line - 1])
        ground = layers.shares[list(GROUND)].sum(0)[..., None]  # (H, W, 1)
        found = found + style.wet * 0.6 * mirror.clip(0, 1.4) * ground
    return found


def _rain(style: Style, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Slanted streaks: (H, W, 1) in [0, 1], to be added."""
    height, width = size
    scale = SUPERSAMPLING * height / UNITS
    large = Image.new("L", (width * SUPERSAMPLING, height * SUPERSAMPLING))
    pen = ImageDraw.Draw(large)
    drops = rng.uniform(0, 1, (round(style.rain * width / height / 1.5), 4))
    for x, y, length, bright in drops.tolist():
        u, v, tall = x * large.width, y * large.height, (3 + 5 * length) * scale
        pen.line([(u, v), (u - 0.22 * tall, v + tall)], fill=round(50 + 90 * bright), width=max(1, round(0.4 * scale)))
    return np.asarray(large.reduce(SUPERSAMPLING), dtype=np.float64)[..., None] / 255


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """(H, W, C) smoothed by a Gaussian; outside there is nothing."""
    reach = max(1, round(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        padding = [(0, 0)] * 3
        padding[axis] = (reach, reach)
        padded = np.pad(image, padding)
        length = image.shape[axis]
        image = sum(
            tap * (padded[k : k + length] if axis == 0 else padded[:, k : k + length]) for k, tap in enumerate(taps)
        )
    return image


def all_styles() -> list[Style]:
    return [style for letter in STYLES for style in STYLES[letter]]
