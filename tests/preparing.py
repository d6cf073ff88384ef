"""What the tests of the preparation programs share: small annotated pictures, and looking at results."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.preparing import dataset_json


def draw_noise(path: Path, size: tuple[int, int], seed: int = 0) -> None:
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=90)


def square(left: float, top: float, side: float) -> list[float]:
    return [left, top, left + side, top, left + side, top + side, left, top + side]


def coco_content() -> dict[str, Any]:
    """Six pictures of 60 x 40: cows in 1 to 4, sheep in 3 to 5; crowds, RLE, and one instance that the crop removes."""
    images = [{"id": n, "file_name": f"{n:012d}.jpg", "width": 60, "height": 40} for n in range(1, 7)]
    annotations: list[dict[str, Any]] = []

    def add(image: int, category: int, segmentation: Any, crowd: int = 0) -> None:
        annotations.append(
            {"id": 100 + len(annotations), "image_id": image, "category_id": category, "iscrowd": crowd}
            | {"segmentation": segmentation, "area": 1.0, "bbox": [0, 0, 1, 1]}
        )

    add(1, 7, [square(20, 5, 12)])
    add(1, 7, [square(1, 1, 6)])  # outside of the central 40 x 40
    add(1, 7, [square(22, 20, 8), square(34, 20, 8)])  # one instance in two parts
    add(2, 7, {"size": [40, 60], "counts": [20 * 40 + 10, 10, 30, 10, 2400 - 20 * 40 - 60]})
    add(3, 7, [square(15, 5, 10)])
    add(3, 9, [square(30, 15, 12)])
    add(4, 7, [square(18, 8, 9)])
    add(4, 9, [square(30, 8, 9)])
    add(5, 9, [square(25, 15, 14)])
    add(5, 9, {"size": [40, 60], "counts": [0, 2400]}, crowd=1)
    add(6, 3, [square(10, 10, 20)])
    categories = [{"id": 7, "name": "cow"}, {"id": 9, "name": "sheep"}, {"id": 3, "name": "person"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def drawn_content(seed: int) -> dict[str, Any]:
    """Six pictures of other sizes with outlines as people draw them: many corners between pixels, in several parts,
    beyond the edge, small and large; every fifth one is stored as runs in text. Needs pycocotools."""
    from pycocotools import mask as codec

    random = np.random.default_rng(seed)
    made = coco_content()
    for image in made["images"]:
        image["width"], image["height"] = (int(side) for side in random.integers(50, 140, 2))
    for record in made["annotations"]:
        image = made["images"][record["image_id"] - 1]
        parts = []
        for _ in range(random.integers(1, 4)):
            angles = np.sort(random.uniform(0, 2 * np.pi, random.integers(5, 60)))
            middle = random.uniform((0, 0), (image["width"], image["height"]))
            radii = random.uniform(3, 40, len(angles))
            corners = middle + np.stack((np.cos(angles), np.sin(angles)), 1) * radii[:, None]  # (n, 2)
            parts.append(corners.round(2).ravel().tolist())
        record["segmentation"] = parts
        if record["id"] % 5 == 0:
            runs = codec.merge(codec.frPyObjects(parts, image["height"], image["width"]))
            record["segmentation"] = {"size": runs["size"], "counts": runs["counts"].decode()}
    return made


def write_coco(root: Path, content: Any = None, phase: str = "train") -> Path:
    """COCO's layout with one phase; returns its root."""
    content = coco_content() if content is None else content
    for image in content["images"]:
        draw_noise(root / f"{phase}2017" / image["file_name"], (image["width"], image["height"]), seed=image["id"])
    file = root / "annotations" / f"instances_{phase}2017.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones included."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def load(root: Path) -> dict[str, Any]:
    content = dataset_json.load(root)
    assert content is not None
    return content


def masks_of(root: Path, key: str) -> list[np.ndarray]:
    """The masks (H, W) bool of a written picture, after holding them to the layout."""
    folder, name = key.split("/")
    picture = Image.open(root / key)
    count = len(load(root)["pictures"][key]["instances"])
    paths = [root / f"{folder}_seg" / f"{Path(name).stem}_{number}.png" for number in range(count)]
    masks = []
    for path in paths:
        mask = Image.open(path)
        assert mask.mode == "L" and mask.size == picture.size
        assert set(np.unique(np.asarray(mask))) <= {0, 255}
        masks.append(np.asarray(mask) > 0)
    return masks


def check_set(root: Path) -> None:
    """Holds a set to the laws that all have: dataset.json and files tell the same, nothing else is there."""
    told = load(root)
    expected = {"dataset.json"}
    for key, entry in told["pictures"].items():
        folder, name = key.split("/")
        expected |= {key} | {f"{folder}_seg/{Path(name).stem}_{k}.png" for k in range(len(entry["instances"]))}
        assert list(Image.open(root / key).size) == entry["size"]
        for mask, instance in zip(masks_of(root, key), entry["instances"], strict=True):
            rows, columns = np.nonzero(mask)
            assert instance["box"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert instance["area"] == mask.sum() > 0
            assert instance["category"] < len(told["categories"][folder[-1]])
    assert set(contents(root)) == expected
    for folder, count in told["counts"].items():
        keys = [key for key in told["pictures"] if key.startswith(f"{folder}/")]
        assert count["pictures"] == len(keys)
        assert count["instances"] == sum(len(told["pictures"][key]["instances"]) for key in keys)
