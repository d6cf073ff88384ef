"""COCO-format json files -> plan. Crowd regions are no instances; pictures of each domain are taken independently."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.preparing.categories import check_apart
from data.preparing.coco_masks import CocoAnnotation
from data.preparing.digests import digest
from data.preparing.splitting import validation_part
from data.preparing.tasks import Category, Draft, Plan
from instagan.errors import InputError
from instagan.io.categories import check_names
from instagan.io.coco import ADVICE, leads_out, read_json


@dataclass(frozen=True)
class CocoPart:
    """One annotation file, the folder of its pictures, and the phase they are for."""

    phase: str
    annotations: Path
    images: Path


def official_parts(root: Path, year: str) -> list[CocoPart]:
    """The parts that are there of the official layout; raises ``InputError`` if none is."""
    if not root.is_dir():
        raise InputError(
            f"--data_root {root}: no such folder; pass the folder that holds annotations/ and train{year}/"
        )
    parts = [
        CocoPart(phase, root / "annotations" / f"instances_{phase}{year}.json", root / f"{phase}{year}")
        for phase in ("train", "val")
    ]
    there = [part for part in parts if part.annotations.exists()]
    if not there:
        raise InputError(
            f"{parts[0].annotations}: no such file; pass another --data_root, another --year, "
            "or --annotations FILE --images DIR"
        )
    return there


def plan_coco(
    parts: list[CocoPart], names: dict[str, list[str]], val_share: float = 0.0, seed: int = 0, needed: str = "AB"
) -> Plan:
    """names: domain -> category names. With ``val_share`` the training part is split.

    Raises ``InputError``, also where a ``needed`` domain has an unknown category or no picture.
    """
    check_apart(names["A"], names["B"])
    plan = Plan({"kind": "coco", "annotations": []}, {})
    with_instances: Counter[str] = Counter()
    for part in parts:
        content = read_json(part.annotations)
        plan.source["annotations"].append({"file": part.annotations.name, "sha256": digest(part.annotations)})
        ids = _category_ids(content, {domain: names[domain] for domain in needed}, part.annotations)
        if not plan.categories:
            plan.categories = {
                domain: [Category(name, _one(ids[name])) for name in of_domain] for domain, of_domain in names.items()
            }
        drafts = _drafts(content, ids, names, part, plan)
        del content
        with_instances.update(domain for draft in drafts for domain in draft.domains)
        _add(plan, part.phase, drafts, val_share, seed)
    for domain, of_domain in names.items():
        if domain in needed and not with_instances[domain]:
            files = ", ".join(str(part.annotations) for part in parts)
            flag = "--cat1" if domain == "A" else "--cat2"
            raise InputError(
                f"{flag}: {files} has no picture with an instance of {', '.join(of_domain)}; choose another"
            )
    return plan


def _add(plan: Plan, phase: str, drafts: list[Draft], val_share: float, seed: int) -> None:
    if phase == "train" and val_share:
        validates = validation_part(["".join(sorted(draft.domains)) for draft in drafts], val_share, seed)
        plan.add("val", [draft for draft, chosen in zip(drafts, validates, strict=True) if chosen])
        drafts = [draft for draft, chosen in zip(drafts, validates, strict=True) if not chosen]
    plan.add(phase, drafts)


def _drafts(
    content: dict[str, Any], ids: dict[str, list[int]], names: dict[str, list[str]], part: CocoPart, plan: Plan
) -> list[Draft]:
    """The pictures with an instance of either domain, sorted by file name. Bad records become the plan's problems."""
    place = {
        number: (domain, index)
        for domain, of_domain in names.items()
        for index, name in enumerate(of_domain)
        for number in ids[name]
    }
    pictures = _pictures(content, part, plan)
    found: defaultdict[int, dict[str, list[tuple[int, int, Any]]]] = defaultdict(dict)
    crowds = 0
    for record in content["annotations"]:
        try:
            where = place.get(record["category_id"])
            if where is None:
                continue
            number, image = record["id"], record["image_id"]
            if not isinstance(number, (int, str)):
                raise ValueError(f"an annotation has the id {number!r}, which is no number")
            crowd = bool(record.get("iscrowd", 0))
            if image not in pictures:
                raise ValueError(f"annotation {number} is of picture {image}, which is not in the list images")
        except (KeyError, TypeError, ValueError) as error:
            reason = f"an annotation has no {error}" if isinstance(error, KeyError) else str(error)
            plan.problems.append((part.annotations.name, f"{part.annotations}: {reason}; mend or remove it"))
            continue
        if crowd:
            crowds += 1
        else:
            domain, category = where
            found[image].setdefault(domain, []).append((number, category, record.get("segmentation")))
    if crowds:
        plan.notes.append(f"{crowds} crowd regions of {part.annotations.name} are left out")
    drafts = [_draft(image, pictures[image], domains, part) for image, domains in found.items()]
    return sorted(drafts, key=lambda draft: (draft.source, str(draft.source_id)))


def _draft(image: int, picture: tuple[str, int, int], domains: dict[str, Any], part: CocoPart) -> Draft:
    name, width, height = picture
    of_domain = {
        domain: CocoAnnotation(str(part.annotations), (width, height), tuple(instances))
        for domain, instances in domains.items()
    }
    return Draft(part.images / name, f"{part.images.name}/{name}", of_domain, image)


def _pictures(content: dict[str, Any], part: CocoPart, plan: Plan) -> dict[int, tuple[str, int, int]]:
    """Picture id -> file name, width, height."""
    pictures = {}
    for record in content["images"]:
        try:
            name, width, height = str(record["file_name"]), int(record["width"]), int(record["height"])
            if leads_out(name):
                raise ValueError(f"the file name {name!r} leads out of the folder of pictures")
            pictures[record["id"]] = (name, width, height)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reason = f"a picture has no {error}" if isinstance(error, KeyError) else str(error)
            plan.problems.append((part.annotations.name, f"{part.annotations}: {reason}; mend or remove it"))
    return pictures


def _category_ids(content: dict[str, Any], names: dict[str, list[str]], path: Path) -> dict[str, list[int]]:
    """Category name -> its ids in this file."""
    ids: defaultdict[str, list[int]] = defaultdict(list)
    try:
        for record in content["categories"]:
            if not isinstance(record["id"], (int, str)):
                raise TypeError
            ids[str(record["name"])].append(record["id"])
    except (KeyError, TypeError):
        raise InputError(f"{path} has a category without name, or whose id is no number; {ADVICE}") from None
    for domain, of_domain in names.items():
        check_names(of_domain, list(ids), "--cat1" if domain == "A" else "--cat2", str(path))
    return ids


def _one(ids: list[int]) -> int | list[int] | None:
    return ids[0] if len(ids) == 1 else ids or None
