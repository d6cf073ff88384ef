"""A batch that travelled from a worker is the batch that the worker made, to the last bit."""

import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from PIL import Image

from data.collate import collate_pairs
from data.folders import list_domain
from data.loading import TrainingLoader
from data.placement import MODES, Framing
from data.transport import collate_packed
from data.unaligned_instance_dataset import UnalignedInstanceDataset
from instagan.io.pixels import from_levels, to_levels
from instagan.structures.instances import UnpairedBatch
from tests.programs import draw_set

TENSORS = ("image", "masks", "present", "labels")


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory):
    """Pictures with no mask, one and several; those of A of nothing but black and white, so that bicubic overshoots."""
    root = draw_set(tmp_path_factory.mktemp("set"), "train", a=(1, 0, 3), b=(2, 1, 0), size=(57, 41))
    for number, path in enumerate(sorted((root / "trainA").iterdir())):
        pixels = np.random.default_rng(number).integers(0, 2, (41, 57, 3), np.uint8) * 255
        Image.fromarray(pixels).save(path)
    return root


def dataset(dataroot, framing: Framing) -> UnalignedInstanceDataset:
    a, b = (list_domain(dataroot, "train", domain, with_masks=True) for domain in "AB")
    return UnalignedInstanceDataset(a, b, framing, seed=7, serial=True)


def agree(one: UnpairedBatch, other: UnpairedBatch) -> bool:
    domains = [(one["A"], other["A"]), (one["B"], other["B"])]
    return one.paths == other.paths and all(
        torch.equal(getattr(mine, name), getattr(theirs, name))
        and getattr(mine, name).dtype == getattr(theirs, name).dtype
        for mine, theirs in domains
        for name in TENSORS
    )


def test_all_levels_survive_both_ways():
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_levels(from_levels(levels)), levels)
    assert torch.equal(from_levels(to_levels(from_levels(levels))), from_levels(levels))


@pytest.mark.parametrize("load", [(24, 22), (57, 41), (99, 87)], ids=("smaller", "as it is", "larger"))
@pytest.mark.parametrize("mode", MODES)
def test_what_arrives_is_what_was_sent(dataroot, mode, load):
    """Whatever the mode: resizing ends in whole levels, also where a picture is enlarged."""
    data = dataset(dataroot, Framing(mode, load, (17, 15), random=True, flip=True))
    for rows in ((0,), (1,), (2, 0, 1)):
        pairs = [data[epoch, row] for epoch in (1, 2) for row in rows]
        sent = pickle.loads(ForkingPickler.dumps(collate_packed(pairs)))
        assert agree(sent, collate_pairs(pairs))
        assert all(getattr(sent["A"], name).is_contiguous() for name in TENSORS)


def test_a_packed_batch_is_small(dataroot):
    data = dataset(dataroot, Framing("crop", (57, 41), (40, 40), random=True, flip=True))
    pairs = [data[1, 0], data[1, 2]]
    whole = sum(tensor.nbytes for sample in sum(pairs, ()) for tensor in (sample.image, sample.masks))
    assert len(ForkingPickler.dumps(collate_packed(pairs))) < 0.3 * whole


def test_workers_that_are_not_forked_send_the_same(dataroot):
    data = dataset(dataroot, Framing("resize_and_crop", (24, 22), (16, 16), random=True, flip=True))
    alone, helped = (TrainingLoader(data, 2, workers, pin_memory=False) for workers in (0, 1))
    helped.loader.multiprocessing_context = "spawn"
    for mine, theirs in zip(alone.epoch(2, 0), helped.epoch(2, 0), strict=True):
        assert isinstance(theirs, UnpairedBatch) and agree(mine, theirs)


def test_what_arrived_can_be_changed(dataroot):
    """Tensors over memory that must not be written to would warn, or crash."""
    data = dataset(dataroot, Framing("none", (0, 0), (0, 0), random=True, flip=True))
    sent = pickle.loads(ForkingPickler.dumps(collate_packed([data[1, 0]])))
    for batch in (sent["A"], sent["B"]):
        for name in TENSORS:
            getattr(batch, name).zero_()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinned memory needs a GPU")
def test_pinned_batches_arrive_pinned(dataroot):
    data = dataset(dataroot, Framing("resize_and_crop", (24, 22), (16, 16), random=True, flip=True))
    for batch in TrainingLoader(data, 2, 1, pin_memory=True).epoch(1, 0):
        assert all(getattr(batch["A"], name).is_pinned() for name in TENSORS)
