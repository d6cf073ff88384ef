"""Drawn pictures and masks as a data set in the published layout, and ``shapes.json``, the truth about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.folders import folder_name
from data.shapes import drawing, hard
from data.shapes.coco_file import CornersFile
from data.shapes.drawing import DOMAINS, Domain, domains_of
from instagan.structures.attributes import KEYPOINTS, MASKS, PARTS

Draw = Callable[[np.random.Generator, drawing.Domain, int, int | None], drawing.Scene]


@dataclass(frozen=True)
class Level:
    """How a picture is drawn, from random numbers, domain, side and number of instances; the most instances; what the
    instances of both domains look like."""

    draw: Draw
    largest_count: int
    domains: tuple[Domain, Domain] = DOMAINS


PLAIN, HARD, DECOYS = "plain", "hard", "decoys"
LEVELS = {
    PLAIN: Level(drawing.draw_scene, drawing.LARGEST_COUNT),
    HARD: Level(hard.NEITHER.draw_scene, hard.LARGEST_COUNT, hard.NEITHER.domains),
    DECOYS: Level(hard.ALIKE.draw_scene, hard.LARGEST_COUNT, hard.ALIKE.domains),
}


def heat(picture: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 as an infrared camera of 12 bits might see it, (H, W) uint16 from 0 to 4095: what is of
    a warm colour is hot, all else as warm as it is bright."""
    red, green, blue = (picture / 255).transpose(2, 0, 1)
    found = 0.1 + 0.4 * (red + green + blue) / 3 + 0.5 * np.maximum(red - blue, 0)
    return np.rint(4095 * found.clip(0, 1)).astype(np.uint16)


def write_set(
    save_root: Path,
    seed: int,
    counts: dict[str, int],
    side: int,
    level: str = PLAIN,
    instances: Mapping[str, Sequence[int]] | None = None,
    domain_count: int = 2,
    attribute: str = MASKS,
    sizes: tuple[float, float] | None = None,
    infrared: bool = False,
) -> None:
    """Writes pictures, masks and, last of all, ``shapes.json``. counts: pictures per domain by phase.

    attribute: with "keypoints" also train.json and val.json in COCO's format, whose keypoints are the shapes' corners;
    with "parts" masks are maps of the upper part, 1, and the lower part, 2. Of plain squares and triangles alone.

    infrared: pictures of A are what ``heat`` makes of them.
    instances: by phase, how many instances the pictures show in turn; where there are none, each draws its own number.
    sizes: between which theirs lie on the plain level, as shares of the side; None: as in the embedded example.
    """
    pictures: dict[str, Any] = {}
    told = {phase: CornersFile() for phase in counts if attribute == KEYPOINTS}
    draw = LEVELS[level].draw if sizes is None else partial(drawing.draw_scene, sizes=sizes)
    drawn = LEVELS[level].domains if domain_count == 2 else domains_of(domain_count)
    for phase_key, (phase, count) in enumerate(counts.items()):
        for domain_key, domain in enumerate(drawn):
            folder = save_root / folder_name(phase, domain.name)
            masks_folder = save_root / f"{folder.name}_seg"
            folder.mkdir(parents=True, exist_ok=True)
            masks_folder.mkdir(exist_ok=True)
            in_turn = (instances or {}).get(phase) or [None]
            for index in range(count):
                rng = np.random.default_rng([seed, phase_key, domain_key, index])
                scene = draw(rng, domain, side, in_turn[index % len(in_turn)])
                stem = f"{domain.shape}s_{index:03d}"
                seen = heat(scene.picture) if infrared and domain.name == "A" else scene.picture
                Image.fromarray(seen).save(folder / f"{stem}.png")
                if attribute == KEYPOINTS:
                    told[phase].add(f"{folder.name}/{stem}.png", scene)
                for slot, mask in enumerate(scene.masks):
                    if attribute == PARTS:
                        mask = scene.instances[slot].parts(mask > 0)
                    Image.fromarray(mask).save(masks_folder / f"{stem}_{slot}.png")
                pictures[f"{folder.name}/{stem}.png"] = scene.truth
    domains = {
        domain.name: {key: getattr(domain, key) for key in ("shape", "outline", "hue", "saturation", "value")}
        for domain in drawn
    }
    for phase, file in told.items():
        (save_root / f"{phase}.json").write_text(json.dumps(file.content) + "\n", encoding="utf-8")
    more: dict[str, Any] = {} if level == PLAIN else {"level": level}
    more |= {} if attribute == MASKS else {"attribute": attribute}
    more |= {"infrared": True} if infrared else {}
    content = {"seed": seed, "size": side, **more, "domains": domains, "pictures": pictures}
    (save_root / "shapes.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
