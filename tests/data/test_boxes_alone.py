"""Annotations that are boxes alone: instances like any others, from the json to the networks."""

import json
import pickle
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("pycocotools", reason="COCO needs pycocotools (requirements.txt)")

from data.cache import reader
from data.collate import collate_domain, collate_pairs
from data.decoded import decode
from data.entries import Entry
from data.placement import MODES, Framing
from data.preparing.dataset_json import load
from data.transport import collate_packed
from data.unaligned_instance_dataset import UnalignedInstanceDataset, place, read_sample
from instagan.structures import instances
from instagan.structures.boxes import rasterise
from scripts import check_data, prepare_coco
from tests.batches import assert_same
from tests.data.test_coco_mode import FRAMING, RUN, flags, listed, source
from tests.preparing import coco_content, write_coco
from tests.programs import TINY, test_program, train_program

WHOLE = Framing("resize_and_crop", (60, 40), (60, 40), random=False, flip=False)


def bare(record: dict, box: list[float]) -> dict:
    """An annotation with a box and no segmentation."""
    return {name: value for name, value in record.items() if name != "segmentation"} | {"bbox": box}


def content(every: int = 1) -> dict:
    """Of all annotations, each ``every``-th has a box alone, with sub-pixel edges."""
    made = coco_content()
    for number, record in enumerate(made["annotations"]):
        if number % every == 0 and not record["iscrowd"]:
            made["annotations"][number] = bare(record, [8.25 + 3 * number, 5.5, 11.3, 14.25])
    return made


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_coco(tmp_path_factory.mktemp("boxes"), content())


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    return write_coco(tmp_path_factory.mktemp("mixed"), content(every=2))


def entries(root: Path) -> list[Entry]:
    found = listed(root)
    return found["A"].entries + found["B"].entries


def test_instances_have_boxes_and_no_masks(root):
    first = listed(root)["A"].entries[0]
    sample = read_sample(first, WHOLE, np.random.default_rng(0))
    assert sample.masks is None and sample.labels.tolist() == [0, 0, 0]
    expected = torch.tensor([[8.25 + 3 * k, 5.5, 19.55 + 3 * k, 19.75] for k in range(3)])
    torch.testing.assert_close(sample.boxes, expected)
    batch, _ = collate_domain([read_sample(one, WHOLE, np.random.default_rng(0)) for one in entries(root)[:3]])
    assert batch.given_masks is None and batch.present.sum(1).tolist() == [3, 1, 1]
    assert torch.equal(batch.masks > 0, rasterise(batch.boxes, 40, 60))


def test_a_note_counts_them(root, mixed):
    assert "9 of 9 instances in instances_train2017.json have a box and no segmentation" in listed(root)["B"].summary()
    assert "their masks are rectangles" in listed(mixed)["B"].summary()
    assert "box" not in listed(write_coco(root / "plain", coco_content()))["B"].summary()


@pytest.mark.parametrize("mode", MODES)
def test_in_a_mixed_picture_rectangles_stand_beside_masks(mixed, mode):
    """Masks are those that a file of masks alone gives, boxes those of a file of boxes alone."""
    framing = Framing(mode, (30, 26), (24, 20), random=True, flip=True)
    for entry in entries(mixed):
        for seed in range(6):
            sample = read_sample(entry, framing, np.random.default_rng(seed))
            if sample.boxes is None:
                continue
            for number, mask in enumerate(entry.masks):
                alone = read_sample(Entry(entry.picture, (mask,), entry.size), framing, np.random.default_rng(seed))
                batch, _ = collate_domain([alone])
                if mask.box:
                    assert torch.equal(sample.boxes[number], alone.boxes[0])
                elif alone.masks.max() > 0:
                    tight, box = batch.boxes[0, 0], sample.boxes[number]
                    assert (box[:2] <= tight[:2]).all() and (box[2:] >= tight[2:]).all()
                if sample.masks is not None:
                    assert torch.equal(sample.masks[number], batch.masks[0, 0])


def test_rows_with_masks_and_rows_with_boxes_share_a_batch(root):
    plain = listed(write_coco(root / "beside", coco_content()))["A"].entries
    samples = [read_sample(one, WHOLE, np.random.default_rng(0)) for one in (*plain[:2], *entries(root)[:1])]
    batch, paths = collate_domain(samples)
    assert len(paths) == 3 and batch.present.sum(1).tolist() == [3, 1, 3]
    for row, sample in enumerate(samples):
        alone = collate_domain([sample])[0].slots(0, 3)
        assert torch.equal(batch[[row]].masks, alone.masks) and torch.equal(batch[[row]].boxes, alone.boxes)


@pytest.mark.parametrize("every", [1, 2])
def test_batches_travel_and_caches_change_nothing(tmp_path, every):
    found = listed(write_coco(tmp_path / "coco", content(every)))
    a, b = found["A"].entries, found["B"].entries
    for kind in ("none", "ram", "disk"):
        read = reader(kind, a + b, FRAMING, tmp_path / "cache", 2**24)
        for _ in range(2):  # the second time from the cache
            cached = UnalignedInstanceDataset(a, b, FRAMING, 5, serial=False, read=read)
            plain = UnalignedInstanceDataset(a, b, FRAMING, 5, serial=False)
            pairs = [[data[1, row] for row in (0, 1, 2)] for data in (plain, cached)]
            sent = pickle.loads(ForkingPickler.dumps(collate_packed(pairs[1])))
            for letter in "AB":
                assert_same(sent[letter], collate_pairs(pairs[0])[letter])


def test_what_the_crop_leaves_too_little_of_is_left_out(mixed):
    """By the share of the box's area, with masks as with boxes; the slot stays, and is absent."""
    left_out = 0
    for share in (0.0, 0.5, 1.0):
        framing = Framing("crop", (0, 0), (24, 24), random=True, flip=True, least_share=share)
        for entry in entries(mixed):
            for seed in range(8):
                random = np.random.default_rng(seed)
                placement = framing.draw(entry.size, np.random.default_rng(seed))
                sample = read_sample(entry, framing, random)
                batch, _ = collate_domain([sample])
                for number, mask in enumerate(entry.masks):
                    whole = torch.from_numpy(mask.read(entry.size))
                    box = torch.tensor(mask.box) if mask.box else instances.boxes_of_masks(whole)
                    _, kept = placement.boxes(box, entry.size)
                    there = bool(batch.present[0, number])
                    if not 0 < kept < 1 or mask.box:
                        assert there == bool(kept > 0 and kept >= share)
                    left_out += not there and bool(kept > 0)
                    if not there:
                        assert (batch.masks[0, number] == -1).all() and (batch.boxes[0, number] == 0).all()
    assert left_out > 10


def test_boxes_that_are_too_narrow_or_too_many_are_left_out(mixed):
    """By the shorter side of what is left, as a share of the shorter side of the picture."""
    sides, counts = [], set()
    for entry in entries(mixed):
        for seed in range(8):
            framing = Framing("crop", (0, 0), (24, 28), random=True, flip=True, least_side=0.25)
            few = replace(framing, most=1, boxes_only=True)
            every, one = (
                place(entry, decode(entry, framing), framing, np.random.default_rng(seed), shuffled=True)
                for framing in (replace(framing, least_side=0.0, boxes_only=True), framing)
            )
            wide = every.boxes[:, 2:] - every.boxes[:, :2]  # (n, 2)
            kept = wide.amin(1) >= 6  # of 24
            assert torch.equal(one.boxes, torch.where(kept[:, None], every.boxes, 0))
            sides += wide.amin(1).tolist()
            only = place(entry, decode(entry, few), few, np.random.default_rng(seed), shuffled=True)
            assert only.masks is None
            first = kept & (kept.cumsum(0) == 1)
            assert torch.equal(only.boxes, torch.where(first[:, None], every.boxes, 0))
            counts.add(int((only.boxes.sum(1) > 0).sum()))
            batch, _ = collate_domain([only])
            assert batch.given_masks is None and int(batch.present.sum()) == int(first.sum())
    assert counts == {0, 1} and any(0 < side < 6 for side in sides)


def test_where_boxes_are_enough_an_entry_without_instances_has_none_and_no_mask(root):
    framing = Framing("crop", (0, 0), (24, 24), random=True, flip=True, boxes_only=True)
    entry = entries(root)[0]
    samples = [
        read_sample(one, framing, np.random.default_rng(0)) for one in (replace(entry, masks=()), entry)
    ]
    assert samples[0].boxes.shape == (0, 4)
    batch, _ = collate_domain(samples)
    assert batch.given_masks is None and not batch.present[0].any()


def test_an_entry_without_instances_has_no_boxes(root):
    framing = Framing("crop", (0, 0), (24, 24), random=True, flip=True, least_share=0.5)
    sample = read_sample(Entry(entries(root)[0].picture), framing, np.random.default_rng(0))
    assert sample.boxes is None and sample.masks.shape == (0, 24, 24)


def test_placing_shuffles_boxes_with_their_labels(root):
    entry = listed(root, cat1="cow,person", cat2="sheep")["A"].entries[0]
    orders = set()
    for seed in range(10):
        random = np.random.default_rng(seed)
        sample = place(entry, decode(entry, WHOLE), WHOLE, random, shuffled=True)
        orders.add(tuple(sample.boxes[:, 0].tolist()))
        assert sorted(sample.boxes[:, 0].tolist()) == [8.25, 11.25, 14.25]
    assert len(orders) > 2


@pytest.mark.parametrize(
    "model",
    [("insta_gan",), ("cycle_gan",), ("cycle_gan", "--with_masks"), ("cut",), ("init", "--num_scales", "1")],
)  # fmt: skip
def test_every_method_trains_and_translates(root, mixed, tmp_path, model):
    for number, data in enumerate((root, mixed)):
        where = ("--checkpoints_dir", str(tmp_path / str(number)))
        learns = ["--model", *model]
        assert train_program.main([*flags(data), *TINY, *where, *RUN, *learns, "--batch_size", "3"]) == 0
        results = tmp_path / f"results{number}"
        assert test_program.main(["--name", "run", *where, "--results_dir", str(results)]) == 0
        assert list(results.rglob("*_fake_B.png"))


def test_a_method_that_works_on_masks_never_pays_for_boxes(tmp_path, monkeypatch):
    plain = write_coco(tmp_path / "coco", coco_content())
    asked = []
    derive = instances.boxes_of_masks
    monkeypatch.setattr(instances, "boxes_of_masks", lambda inside: asked.append(1) or derive(inside))
    where = ("--checkpoints_dir", str(tmp_path / "runs"))
    assert train_program.main([*flags(plain), *TINY, *where, *RUN, "--model", "insta_gan"]) == 0
    assert asked == []
    batch, _ = collate_domain([read_sample(entries(plain)[0], WHOLE, np.random.default_rng(0))])
    assert batch.boxes.shape == (1, 3, 4) and asked == [1]


def test_preparing_writes_rectangles_and_says_so(mixed, tmp_path, capsys):
    where = ("--annotations", source(mixed)["annotations"], "--images", source(mixed)["images"])
    made = ("--cat1", "cow", "--cat2", "sheep", "--image_size", "0", "--workers", "1", "--save_root", str(tmp_path))
    assert prepare_coco.main([*where, *made]) == 0
    said = capsys.readouterr().out
    assert "5 of 9 instances in instances_train2017.json have a box and no segmentation: their masks are rect" in said
    told = [one for picture in load(tmp_path)["pictures"].values() for one in picture["instances"]]
    expected = {record["id"] for record in content(every=2)["annotations"] if "segmentation" not in record}
    assert {one["id"] for one in told if one.get("from_box")} == expected - {110}
    check_data.main(["--dataroot", str(tmp_path), "--json", str(tmp_path / "report.json")])
    found = json.loads((tmp_path / "report.json").read_text())["findings"]
    assert {one["file"]: one["message"].split(":")[0] for one in found if one["code"] == "rectangles"} == {
        "trainA_seg": "has 4 rectangles among its 6 masks", "trainB_seg": "has 1 rectangles among its 3 masks"
    }  # fmt: skip
