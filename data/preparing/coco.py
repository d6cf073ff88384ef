"""COCO-format json files -> plan. Crowd regions are no instances; pictures of each domain are taken independently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.preparing.categories import check_apart
from data.preparing.coco_masks import CocoAnnotation
from data.preparing.digests import digest
from data.preparing.splitting import validation_part
from data.preparing.tasks import Annotation, Category, Draft, Plan
from instagan.errors import InputError
from instagan.io.coco import Picture
from instagan.io.coco_pictures import need_instances, read_pictures
from instagan.io.values import Id

FLAGS = {"A": "--cat1", "B": "--cat2"}


@dataclass(frozen=True)
class CocoPart:
    """One annotation file, the folder of its pictures, and the phase they are for."""

    phase: str
    annotations: Path
    images: Path


def official_parts(root: Path, year: str, kind: str = "instances") -> list[CocoPart]:
    """The parts that are there of the official layout, pictures in ``train2017`` or in ``images/train2017``.

    kind: how the names of the annotation files begin; those of keypoints are person_keypoints.
    Raises ``InputError`` if none is.
    """
    if not root.is_dir():
        raise InputError(
            f"--data_root {root}: no such folder; pass the folder that holds annotations/ and train{year}/"
        )
    parts = []
    for phase in ("train", "val"):
        folders = [root / f"{phase}{year}", root / "images" / f"{phase}{year}"]
        images = next((folder for folder in folders if folder.is_dir()), folders[0])
        parts.append(CocoPart(phase, root / "annotations" / f"{kind}_{phase}{year}.json", images))
    there = [part for part in parts if part.annotations.exists()]
    if not there:
        raise InputError(
            f"{parts[0].annotations}: no such file; pass another --data_root, another --year, "
            "or --annotations FILE --images DIR"
        )
    return there


def plan_coco(
    parts: list[CocoPart],
    names: dict[str, list[str]],
    val_share: float = 0.0,
    seed: int = 0,
    needed: str = "AB",
    crowd_as_instances: bool = False,
    skip_bad: bool = False,
    flags: Mapping[str, str] = FLAGS,
    keypoints: bool = False,
) -> Plan:
    """names: domain -> category names; flags: where they were typed. With ``val_share`` the training part is split.

    keypoints: whether they are looked at. Pictures that are absent have tasks, too. Raises ``InputError`` where a
    ``needed`` domain has an unknown category or no instance, and without ``skip_bad`` for the first thing that is bad.
    """
    check_apart(names["A"], names["B"])
    source = {"kind": "coco", "annotations": []} | ({"crowd_as_instances": True} if crowd_as_instances else {})
    plan, read = Plan(source, {}), []
    wanted = {flags[domain]: names[domain] for domain in needed}
    for part in parts:
        found = read_pictures(part.annotations, part.images, wanted, crowd_as_instances, skip_bad, keypoints=keypoints)
        plan.source["annotations"].append({"file": part.annotations.name, "sha256": digest(part.annotations)})
        if not plan.categories:
            ids, points = found.records.categories, found.records.keypoints
            plan.categories = {
                domain: [Category(name, _one(ids.get(name, [])), points.get(name, ())) for name in of_domain]
                for domain, of_domain in names.items()
            }
        plan.problems.extend(found.records.problems)
        plan.notes.extend([*found.records.notes(), *found.notes_on_boxes()])
        pictures = sorted([*found.pictures, *found.absent], key=lambda picture: (picture.name, str(picture.id)))
        _add(plan, part.phase, [_draft(picture, names, part) for picture in pictures], val_share, seed)
        read.append(found)
    need_instances(read, wanted)
    return plan


def _add(plan: Plan, phase: str, drafts: list[Draft], val_share: float, seed: int) -> None:
    if phase == "train" and val_share:
        validates = validation_part(["".join(sorted(draft.domains)) for draft in drafts], val_share, seed)
        plan.add("val", [draft for draft, chosen in zip(drafts, validates, strict=True) if chosen])
        drafts = [draft for draft, chosen in zip(drafts, validates, strict=True) if not chosen]
    plan.add(phase, drafts)


def _draft(picture: Picture, names: dict[str, list[str]], part: CocoPart) -> Draft:
    of_domain: dict[str, Annotation] = {}
    for domain, wanted in names.items():
        found = [instance for instance in picture.instances if instance.category in wanted]
        instances = tuple((one.id, wanted.index(one.category), one.segmentation) for one in found)
        keypoints = tuple(one.keypoints for one in found) if any(one.keypoints for one in found) else ()
        if instances:
            of_domain[domain] = CocoAnnotation(str(part.annotations), picture.size, instances, keypoints)
    source = f"{part.images.name}/{picture.path.relative_to(part.images).as_posix()}"
    return Draft(picture.path, source, of_domain, picture.id)


def _one(ids: Iterable[Id]) -> int | str | list[Id] | None:
    listed = list(ids)
    return listed[0] if len(listed) == 1 else listed or None
