"""Labels: the category index of an instance stays with it, from the annotation to the translated mask."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from data.collate import collate_domain
from data.folders import list_domain
from data.placement import Framing
from data.prepared import UNTOLD, Prepared
from data.preparing import dataset_json
from data.unaligned_instance_dataset import UnalignedInstanceDataset, read_sample
from instagan.errors import InputError
from instagan.structures.instances import InstanceBatch
from models import MODELS
from options.parse import parse_training
from tests.batches import pair_of, random_batch, trained_on
from tests.programs import ROOT, draw_set, sentence, test_program, train, train_program

WHOLE = Framing("resize_and_crop", (40, 36), (40, 36), random=False, flip=False)
DRAWN = Framing("resize_and_crop", (44, 40), (24, 24), random=True, flip=True)


def tell(root: Path, categories: Mapping[str, list[int]], names: int = 3) -> None:
    """A dataset.json that gives the masks of pictures these categories; annotation ids count from 100."""
    pictures = {
        key: {
            "source_id": place,
            "instances": [{"id": 100 * place + k, "category": category} for k, category in enumerate(found)],
        }
        for place, (key, found) in enumerate(categories.items(), 1)
    }
    named = {letter: [{"name": f"{letter}{k}", "source_id": 10 + k} for k in range(names)] for letter in "AB"}
    content = {"format": dataset_json.FORMAT, "categories": named, "pictures": pictures}
    (root / dataset_json.FILE_NAME).write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path) -> Path:
    """a0, a1, a2 with 3, 0, 4 masks and b0 with 2, of three categories; the last mask of a2 is not told of."""
    draw_set(tmp_path, "train", a=(3, 0, 4), b=(2,))
    tell(tmp_path, {"trainA/a0.png": [2, 0, 1], "trainA/a2.png": [1, 1, 2], "trainB/b0.png": [0, 2]})
    return tmp_path


def test_dataset_json_tells_labels_and_annotation_ids(root):
    entries = list_domain(root, "train", "A", with_masks=True)
    told = {entry.stem: [(mask.label, mask.source_id) for mask in entry.masks] for entry in entries}
    assert told == {
        "a0": [(2, 100), (0, 101), (1, 102)],
        "a1": [],
        "a2": [(1, 200), (1, 201), (2, 202), (0, None)],
    }
    assert [entry.source_id for entry in entries] == [1, None, 2]
    assert [category.name for category in Prepared.read(root).categories["B"]] == ["B0", "B1", "B2"]


def test_labels_follow_the_numbers_of_the_files_not_their_places(root):
    (root / "trainA_seg" / "a0_1.png").unlink()
    (entry, *_) = list_domain(root, "train", "A", with_masks=True)
    assert [(mask.number, mask.label) for mask in entry.masks] == [(0, 2), (2, 1)]


def test_without_dataset_json_all_labels_are_zero(root):
    (root / dataset_json.FILE_NAME).unlink()
    entries = list_domain(root, "train", "A", with_masks=True)
    assert {mask.label for entry in entries for mask in entry.masks} == {0}
    assert {mask.source_id for entry in entries for mask in entry.masks} == {None}
    assert Prepared.read(root).categories == UNTOLD


DAMAGE = {
    "no json": "{",
    "a foreign file": '{"labels": []}',
    "no categories": '{"format": 1, "pictures": {}}',
    "no pictures": '{"format": 1, "categories": {"A": [], "B": []}, "pictures": [3]}',
    "an entry is a number": '{"format": 1, "categories": {"A": [], "B": []}, "pictures": {"trainA/a0.png": 3}}',
    "a label too large": '{"format": 1, "categories": {"A": [{"name": "x"}], "B": []}, "pictures": '
    '{"trainA/a0.png": {"instances": [{"id": 1, "category": 1}]}}}',
    "no label": '{"format": 1, "categories": {"A": [], "B": []}, "pictures": {"trainA/a0.png": {"instances": [{}]}}}',
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_dataset_json_is_one_sentence(root, capsys, case):
    (root / dataset_json.FILE_NAME).write_text(DAMAGE[case])
    said = sentence(capsys, train_program.main, "--dataroot", root, "--checkpoints_dir", root / "runs")
    assert f"{root / dataset_json.FILE_NAME}" in said and "remove it" in said
    with pytest.raises(InputError):
        list_domain(root, "train", "A", with_masks=True)


def test_a_batch_carries_labels_and_fills_up_with_zeros(root):
    samples = [
        read_sample(entry, WHOLE, np.random.default_rng(0))
        for entry in list_domain(root, "train", "A", with_masks=True)
    ]
    batch, _ = collate_domain(samples)
    assert batch.labels.tolist() == [[2, 0, 1, 0], [0, 0, 0, 0], [1, 1, 2, 0]]
    assert batch.labels.dtype == torch.long


def test_shuffled_instances_keep_their_labels(root):
    a, b = (list_domain(root, "train", letter, with_masks=True) for letter in "AB")
    truth = read_sample(a[0], WHOLE, np.random.default_rng(0))
    of_area = {int((mask > 0).sum()): int(label) for mask, label in zip(truth.masks, truth.labels, strict=True)}
    assert len(of_area) == 3
    data, orders = UnalignedInstanceDataset(a, b, WHOLE, seed=3, serial=False), set()
    for epoch in range(1, 30):
        sample = data[epoch, 0][0]
        assert [of_area[int((mask > 0).sum())] for mask in sample.masks] == sample.labels.tolist()
        orders.add(tuple(sample.labels.tolist()))
    assert len(orders) == 6


def test_labels_change_no_picture_and_no_mask(root):
    """The draws of a sample are the same with and without labels."""
    domains = [list_domain(root, "train", letter, with_masks=True) for letter in "AB"]
    (root / dataset_json.FILE_NAME).unlink()
    bare = [list_domain(root, "train", letter, with_masks=True) for letter in "AB"]
    one, other = (UnalignedInstanceDataset(*each, DRAWN, seed=3, serial=False) for each in (domains, bare))
    for key in ((1, 0), (2, 2), (5, 1)):
        for labelled, plain in zip(one[key], other[key], strict=True):
            assert torch.equal(labelled.image, plain.image) and torch.equal(labelled.masks, plain.masks)


def labelled(counts: list[int], seed: int = 0) -> InstanceBatch:
    batch = random_batch(counts, slots=5, seed=seed)
    labels = torch.randint(1, 9, batch.labels.shape, generator=torch.Generator().manual_seed(seed))
    return InstanceBatch(batch.image, batch.masks, batch.present, torch.where(batch.present, labels, 0))


def model(*flags: str):
    argv = ["--dataroot", str(ROOT), "--ngf", "2", "--ndf", "2", *flags]
    options = parse_training(argv).values
    torch.manual_seed(0)
    return MODELS[options.model].from_options(options)


@pytest.mark.parametrize("order", ["decreasing", "random"])
@pytest.mark.parametrize("ins_per, ins_max", [(1, 5), (2, 5), (4, 5), (2, 3)])
def test_translating_keeps_the_label_of_every_instance(order, ins_per, ins_max):
    limits = ("--ins_per", str(ins_per), "--ins_max", str(ins_max), "--set_order", order)
    source = labelled([3, 0, 5])
    for to in "ab":
        fake = model(*limits).translate(source, to)
        assert fake.present.sum(1).tolist() == [3, 0, min(5, ins_max)]
        assert torch.equal(fake.labels[fake.present], source.labels[fake.present])
        assert torch.all(fake.labels[~fake.present] == 0)


def test_training_shows_pictures_with_their_labels():
    pair = pair_of(labelled([3, 0, 5]), labelled([1, 4, 2], seed=1))
    _, pictures = trained_on(model("--ins_max", "4"), pair)
    for source, target in ("AB", "BA"):
        real = pictures[source][f"real_{source}"]
        assert real.labels[real.present].min() > 0
        for name in (f"fake_{target}", f"rec_{source}"):
            made = pictures[source][name]
            assert torch.equal(made.labels[made.present], real.labels[made.present])


def test_groups_train_and_translate_through_the_programs(root, tmp_path):
    assert train(root, tmp_path / "runs", "--name", "run", "--max_steps", "2", "--no_html", "--batch_size", "2") == 0
    where = ("--dataroot", str(root), "--checkpoints_dir", str(tmp_path / "runs"), "--results_dir", str(tmp_path))
    flags = ("--name", "run", "--phase", "train", "--device", "cpu", "--num_threads", "0")
    assert test_program.main([*where, *flags]) == 0
