"""``dataset.json``: what a prepared set was made from, so that a mask can be traced back to its annotation.

    {"format": 1,
     "source": {"kind": "coco" | "ccp" | "mhp" | "label_maps" | "labelme" | "via" | "yolo" | "detector", ...},
     "settings": {"image_size": [256, 256], "keep_aspect": false, "min_area": 1, "max_instances": null, ...},
     "categories": {"A": [{"name": "sheep", "source_id": 20}], "B": [...]},
     "counts": {"trainA": {"pictures": 2, "instances": 13}, ...},
     "dropped": {"empty after the crop": 1, ...},
     "skipped": [{"file": "train2017/7.jpg", "reason": "..."}],
     "pictures": {"trainA/000000000790.png": ENTRY, ...},
     "left_out": {"trainA/000000008193.png": ENTRY, ...}}

    ENTRY = {"source": "train2017/000000000790.jpg", "source_id": 790,
             "source_size": [640, 480], "resized": [341, 256], "crop": [42, 0, 298, 256], "size": [256, 256],
             "instances": [{"id": 60623, "category": 0, "box": [12, 30, 96, 201], "area": 9120}, ...]}

Instance k of ``instances`` is mask file NAME_k.png: its ``id`` in the source, its category as an index into the list of
the picture's domain in ``categories``, and in the written picture its box (left, top, right, bottom; right and bottom
are the first pixels outside) and its area in pixels. Instances from a detector have a ``score`` as well, those of which
the source gives a box and no mask ``"from_box": true``: their masks are rectangles. Where keypoints were asked for,
a category tells their names, and an instance ``"keypoints": [x, y, visibility, ...]`` in pixels of the written picture,
0, 0, 0 for one that is not in it. Sizes are width, height. ``source_id`` is null where the source has none. ``source``
and ``skipped`` name files as it does, ``crop`` counts in the resized picture. ``left_out`` are pictures of which no
instance was left; ``dropped`` inside an ENTRY counts, by reason, instances of that picture which have no mask file.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data.preparing.tasks import Category, Plan
from instagan.errors import InputError

FILE_NAME = "dataset.json"
FORMAT = 1

Entry = dict[str, Any]


def load(root: Path) -> dict[str, Any] | None:
    """The content of a prepared set's dataset.json, or None where there is none. Raises ``InputError`` if it is bad."""
    path = root / FILE_NAME
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error}); remove it or prepare the set again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is not a description of a prepared set; remove it or pass another folder")
    return content


def describe(
    plan: Plan, settings: Mapping[str, Any], entries: Mapping[str, Entry], skipped: Iterable[tuple[str, str]]
) -> dict[str, Any]:
    """The content for a plan that was carried out. entries: by picture, in the plan's order."""
    counts: dict[str, dict[str, int]] = {}
    dropped: Counter[str] = Counter()
    for key, entry in entries.items():
        dropped.update(entry.get("dropped", {}))
        if entry["instances"]:
            count = counts.setdefault(key.partition("/")[0], {"pictures": 0, "instances": 0})
            count["pictures"] += 1
            count["instances"] += len(entry["instances"])
    return {
        "format": FORMAT,
        "source": plan.source,
        "settings": dict(settings),
        "categories": {
            domain: [_category(category) for category in categories] for domain, categories in plan.categories.items()
        },
        "counts": counts,
        "dropped": dict(sorted(dropped.items())),
        "skipped": [{"file": file, "reason": reason} for file, reason in skipped],
        "pictures": {key: entry for key, entry in entries.items() if entry["instances"]},
        "left_out": {key: entry for key, entry in entries.items() if not entry["instances"]},
    }


def _category(category: Category) -> Entry:
    told: Entry = {"name": category.name, "source_id": category.source_id}
    return told | ({"keypoints": list(category.keypoints)} if category.keypoints else {})


def save(root: Path, content: Mapping[str, Any], temporary: Path) -> None:
    """Writes dataset.json, one picture a line, through a temporary file."""
    temporary.write_text(_text(content), encoding="utf-8")
    os.replace(temporary, root / FILE_NAME)


def _text(content: Mapping[str, Any]) -> str:
    parts = []
    for key, value in content.items():
        if key in ("pictures", "left_out", "skipped") and value:
            lines = value.items() if isinstance(value, dict) else ((None, item) for item in value)
            rows = [(f"{json.dumps(name)}: " if name else "") + json.dumps(row) for name, row in lines]
            opening, closing = "{}" if isinstance(value, dict) else "[]"
            parts.append(f"{json.dumps(key)}: {opening}\n  " + ",\n  ".join(rows) + f"\n {closing}")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"
