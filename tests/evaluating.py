"""Translations of the embedded example made by hand: what evaluate.py must find of them is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from data.shapes import drawing
from instagan.io.reading import read_inside
from scripts import evaluate, make_shapes

SIDE = 64
DOMAINS = {domain.name: domain for domain in make_shapes.DOMAINS}
COLOURS = {"A": (217, 51, 26), "B": (26, 89, 217)}
NAMES = {
    "ours": {"real": "real_{s}", "fake": "fake_{t}", "real_mask": "real_{s}_mask", "fake_mask": "fake_{t}_mask"},
    "published": {
        "real": "real_{s}_img",
        "fake": "fake_{t}_img",
        "real_mask": "real_{s}_seg",
        "fake_mask": "fake_{t}_seg",
    },
}


def draw_shapes(root: Path, train: int = 16, val: int = 6, level: str = "plain") -> Path:
    flags = ["--save_root", str(root), "--train", str(train), "--val", str(val), "--seed", "3", "--level", level]
    assert make_shapes.main(flags) == 0
    return root


def translate_by_hand(root: Path, results: Path, how: str, names: str = "ours") -> Path:
    """how: good, identity, or paint (everything in the target's colour; masks take all of the picture)."""
    results.mkdir(parents=True)
    for key, truth in json.loads((root / "shapes.json").read_text())["pictures"].items():
        folder, stem = key.split("/")[0], Path(key).stem
        if not folder.startswith("val"):
            continue
        source = folder[-1]
        target = "AB".replace(source, "")
        real = np.asarray(Image.open(root / key))
        fake, before, after = real.copy(), [], []
        for slot, instance in enumerate(truth["instances"]):
            was = read_inside(root / f"{folder}_seg" / f"{stem}_{slot}.png")
            now = was
            if how == "good":
                drawn = drawing.Instance(
                    DOMAINS[target], instance["centre"], instance["size"], instance["angle"], (1, 1, 1)
                )
                now = drawn.coverage(SIDE) >= 0.5
                fake[was] = real[~was].mean(0)
                fake[now] = COLOURS[target]
            before.append(was)
            after.append(now)
        if how == "paint":
            fake = np.broadcast_to(np.array(COLOURS[target], np.uint8), real.shape)
        pictures = {"real": real, "fake": fake, "real_mask": np.any(before, 0), "fake_mask": np.any(after, 0)}
        for kind, array in pictures.items():
            save(results / f"{stem}_{NAMES[names][kind].format(s=source, t=target)}.png", array)
        for slot, mask in enumerate(after if names == "ours" else ()):
            save(results / f"{stem}_fake_{target}_mask_{slot}.png", mask)
    return results


def save(path: Path, array: np.ndarray) -> None:
    Image.fromarray(array.astype(np.uint8) * (255 if array.dtype == bool else 1)).save(path)


def report_of(output: Path, *flags: object) -> dict:
    """What evaluate.py writes into report.json."""
    assert evaluate.main([*map(str, flags), "--output_dir", str(output), "--device", "cpu"]) == 0
    assert (output / "report.html").stat().st_size > 1000
    return json.loads((output / "report.json").read_text())


def values(report: dict, direction: str, group: str = "all") -> dict[str, float]:
    found = report["directions"][direction]["figures"]
    return {figure["metric"]: figure["value"] for figure in found if figure["group"] == group}
