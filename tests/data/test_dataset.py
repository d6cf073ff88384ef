"""Data is a pure function of (seed, epoch, index), whoever asks, in whatever order, from wherever on."""

import multiprocessing
import random
import traceback
from argparse import Namespace
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from data import DATASETS
from data.collate import collate_domain, collate_pairs
from data.entries import Entry, MaskFile
from data.folders import list_domain
from data.loading import TrainingLoader
from data.placement import Framing
from data.unaligned_instance_dataset import DomainDataset, Sample, UnalignedInstanceDataset, read_sample
from instagan.errors import InputError
from tests.programs import draw_picture, draw_set

FRAMING = Framing("resize_and_crop", (24, 22), (16, 16), random=True, flip=True)
WHOLE = Framing("resize_and_crop", (16, 16), (16, 16), random=False, flip=False)


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory):
    return draw_set(tmp_path_factory.mktemp("set"), "train", a=(1, 0, 3, 2, 4), b=(2, 1, 0))


def dataset(dataroot, seed: int = 7, serial: bool = False, **more) -> UnalignedInstanceDataset:
    a, b = (list_domain(dataroot, "train", domain, with_masks=True) for domain in "AB")
    return UnalignedInstanceDataset(a, b, FRAMING, seed, serial, **more)


def same(one: Sample, other: Sample) -> bool:
    return one.path == other.path and torch.equal(one.image, other.image) and torch.equal(one.masks, other.masks)


def pairs_agree(one: tuple[Sample, Sample], other: tuple[Sample, Sample]) -> bool:
    return all(same(*samples) for samples in zip(one, other, strict=True))


def batches(loader: TrainingLoader, epoch: int, start: int = 0) -> list:
    return list(loader.epoch(epoch, start))


def batches_agree(one: list, other: list) -> bool:
    return len(one) == len(other) and all(
        x.paths == y.paths
        and all(
            torch.equal(getattr(x[domain], name), getattr(y[domain], name))
            for domain in "AB"
            for name in ("image", "masks", "present", "labels")
        )
        for x, y in zip(one, other, strict=True)
    )


def test_a_sample_depends_on_seed_epoch_and_index_alone(dataroot):
    keys = [(epoch, index) for epoch in (1, 2, 9) for index in range(5)]
    forwards, backwards = dataset(dataroot), dataset(dataroot)
    seen = {key: forwards[key] for key in keys}
    assert all(pairs_agree(backwards[key], seen[key]) for key in reversed(keys))
    assert not pairs_agree(seen[1, 2], seen[2, 2])
    assert not pairs_agree(dataset(dataroot, seed=8)[1, 2], seen[1, 2])


def test_global_random_state_neither_matters_nor_moves(dataroot):
    def state() -> list:
        return [repr(random.getstate()), repr(np.random.get_state()), torch.get_rng_state().tolist()]

    loader = TrainingLoader(dataset(dataroot), batch_size=2, workers=0, pin_memory=False)
    before = state()
    first = batches(loader, 3)
    assert state() == before
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    assert batches_agree(batches(loader, 3), first)


def test_workers_do_not_matter_and_leave_the_random_state_alone(dataroot):
    alone = TrainingLoader(dataset(dataroot), batch_size=2, workers=0, pin_memory=False)
    helped = TrainingLoader(dataset(dataroot), batch_size=2, workers=2, pin_memory=False)
    before = torch.get_rng_state()
    for epoch, start in ((1, 0), (2, 0), (2, 1), (1, 2)):
        assert batches_agree(batches(helped, epoch, start), batches(alone, epoch, start))
    assert torch.equal(torch.get_rng_state(), before)


def test_two_threads_read_what_one_reads_also_after_a_fork(dataroot, monkeypatch):
    monkeypatch.setattr("data.decoded.cores", lambda: 2)
    one, two = (TrainingLoader(dataset(dataroot, threads=threads), 2, 0, False) for threads in (1, 2))
    assert batches_agree(batches(two, 1), batches(one, 1))
    forked = multiprocessing.get_context("fork").Process(target=batches, args=(two, 2))
    forked.start()
    forked.join(120)
    assert forked.exitcode == 0
    assert batches_agree(batches(two, 2), batches(one, 2))


def test_an_epoch_begun_in_the_middle_is_the_tail_of_the_whole(dataroot):
    loader = TrainingLoader(dataset(dataroot), batch_size=2, workers=0, pin_memory=False)
    whole = batches(loader, 4)
    assert len(whole) == len(loader) == 3
    for start in range(4):
        assert batches_agree(batches(loader, 4, start), whole[start:])


def test_an_epoch_left_early_does_not_change_the_next(dataroot):
    loader = TrainingLoader(dataset(dataroot), batch_size=1, workers=2, pin_memory=False)
    whole = batches(loader, 2)
    assert len(list(islice(loader.epoch(1, 0), 2))) == 2
    assert batches_agree(batches(loader, 2), whole)


def test_every_picture_of_the_larger_domain_comes_once_per_epoch_in_changing_order(dataroot):
    loader = TrainingLoader(dataset(dataroot), batch_size=2, workers=0, pin_memory=False)
    orders = [tuple(path for batch in batches(loader, epoch) for path in batch.paths["A"]) for epoch in (1, 2, 3)]
    assert all(len(order) == len(set(order)) == 5 for order in orders)
    assert len(set(orders)) > 1


def test_partners_are_drawn_evenly(dataroot):
    data = dataset(dataroot)
    partners = Counter(data[epoch, 1][1].path for epoch in range(1, 301))
    assert len(partners) == 3
    assert all(70 <= count <= 130 for count in partners.values())


def test_serial_takes_both_domains_in_order_round_and_round(dataroot):
    loader = TrainingLoader(dataset(dataroot, serial=True), batch_size=2, workers=0, pin_memory=False)
    for epoch in (1, 2):
        paths = [batch.paths["A"] + batch.paths["B"] for batch in batches(loader, epoch)]
        stems = [[path.rpartition("/")[2].partition(".")[0] for path in batch] for batch in paths]
        assert stems == [["a0", "a1", "b0", "b1"], ["a2", "a3", "b2", "b0"], ["a4", "b1"]]


@pytest.mark.parametrize("limit, length", [(1, 1), (2.9, 2), (4, 4), (100, 5), (float("inf"), 5)])
def test_an_epoch_has_at_most_max_dataset_size_pairs(dataroot, limit, length):
    data = dataset(dataroot, max_size=limit)
    assert len(data) == length
    assert sum(len(batch) for batch in batches(TrainingLoader(data, 2, 0, False), 1)) == length


def test_slots_are_shuffled_together_with_nothing_lost(dataroot):
    data = dataset(dataroot)
    data.framing = WHOLE
    (index,) = (index for index, entry in enumerate(data.a) if len(entry.masks) == 4)
    seen = set()
    for epoch in range(1, 40):
        areas = [int((mask > 0).sum()) for mask in data[epoch, index][0].masks]
        seen.add(tuple(areas))
    assert len(seen) > 10
    assert len({tuple(sorted(areas)) for areas in seen}) == 1


def test_testing_reads_pictures_in_order_with_slots_in_the_order_of_their_files(dataroot):
    entries = list_domain(dataroot, "train", "A", with_masks=True)
    data = DomainDataset(entries, WHOLE)
    samples = [data[index] for index in range(len(data))]
    assert [sample.path for sample in samples] == [str(entry.picture) for entry in entries]
    for entry, sample in zip(entries, samples, strict=True):
        for file, mask in zip(entry.masks, sample.masks, strict=True):
            nearest = Image.open(file.path).resize((16, 16), Image.Resampling.NEAREST)
            assert np.array_equal(mask.numpy() > 0, np.asarray(nearest) > 0)


def test_masks_are_minus_one_and_one_and_pictures_in_between(dataroot):
    for sample in dataset(dataroot)[1, 4]:
        assert set(sample.masks.unique().tolist()) <= {-1.0, 1.0}
        assert sample.image.min() >= -1 and sample.image.max() <= 1 and sample.image.dtype == torch.float32


def test_an_instance_that_is_cropped_away_is_absent(tmp_path):
    draw_picture(tmp_path / "trainA" / "p.png", masks=0, size=(64, 16))
    left, right = np.zeros((2, 16, 64), bool)
    left[4:9, 2:9] = right[4:9, 55:62] = True
    for number, mask in enumerate((left, right)):
        Image.fromarray(mask).save(tmp_path / "trainA_seg" / f"p_{number}.png")
    (entry,) = list_domain(tmp_path, "train", "A", with_masks=True)
    crop = Framing("crop", (64, 16), (16, 16), random=True, flip=False)
    seen = set()
    for draw in range(60):
        sample = read_sample(entry, crop, np.random.default_rng(draw))
        batch, _ = collate_domain([sample])
        expected = [bool((mask > 0).any()) for mask in sample.masks]
        assert batch.present[0].tolist() == expected
        assert torch.all(batch.masks[~batch.present] == -1)
        seen.add(tuple(expected))
    assert seen == {(True, False), (False, True), (False, False)}


def test_a_batch_has_the_slots_of_its_fullest_sample_and_the_rest_absent(dataroot):
    entries = list_domain(dataroot, "train", "A", with_masks=True)
    samples = [read_sample(entry, WHOLE, np.random.default_rng(0)) for entry in entries]
    batch, paths = collate_domain(samples)
    assert batch.masks.shape == (5, 4, 16, 16)
    assert batch.present.sum(1).tolist() == [1, 0, 3, 2, 4]
    assert torch.all(batch.masks[~batch.present] == -1)
    assert paths == tuple(sample.path for sample in samples)
    for row, sample in enumerate(samples):
        assert torch.equal(batch.masks[row, : len(sample.masks)], sample.masks)
    bare, _ = collate_domain(samples[1:2])
    assert bare.slot_count == 0


def test_both_domains_of_a_batch_may_differ_in_slots(dataroot):
    data = dataset(dataroot, serial=True)
    batch = collate_pairs([data[1, 2], data[1, 4]])
    assert (batch["A"].slot_count, batch["B"].slot_count) == (4, 1)
    assert len(batch) == 2


def test_pictures_of_any_size_share_a_batch(tmp_path):
    for number, size in enumerate(((31, 57), (64, 40), (20, 20))):
        draw_picture(tmp_path / "trainA" / f"{number}.png", masks=1, size=size)
        draw_picture(tmp_path / "trainB" / f"{number}.png", masks=2, size=size[::-1])
    (batch,) = batches(TrainingLoader(dataset(tmp_path), 3, 0, False), 1)
    assert batch["A"].image.shape == batch["B"].image.shape == (3, 3, 16, 16)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_wrong_mask_size_is_one_sentence_from_any_process(tmp_path, workers):
    draw_set(tmp_path, "train", a=(1,), b=(1,))
    Image.new("L", (36, 40)).save(tmp_path / "trainB_seg" / "b0_0.png")
    with pytest.raises(InputError) as caught:
        batches(TrainingLoader(dataset(tmp_path), 1, workers, False), 1)
    assert str(caught.value).startswith(str(tmp_path / "trainB_seg" / "b0_0.png"))
    assert "36x40" in str(caught.value) and "40x36" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    traceback.clear_frames(caught.tb)  # they hold the workers, which would be waited for at the end


def test_a_turned_picture_and_an_upright_mask_agree(tmp_path):
    """A camera turns pictures by EXIF alone; a mask drawn over the upright picture has its upright size."""
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = np.zeros((30, 20, 3), np.uint8)
    upright[3:12, 5:11, 0] = 255
    Image.fromarray(np.ascontiguousarray(np.rot90(upright))).save(tmp_path / "p.png", exif=exif)
    Image.fromarray(upright[..., 0]).save(tmp_path / "p_0.png")
    entry = Entry(tmp_path / "p.png", (MaskFile(tmp_path / "p_0.png", 0),))
    sample = read_sample(entry, Framing("none", (0, 0), (0, 0), random=False, flip=False), np.random.default_rng(0))
    assert sample.image.shape == (3, 28, 20)  # 30 lines, rounded down to a multiple of 4
    sure = (sample.image[0] > 0) == (sample.masks[0] > 0)
    assert sure.float().mean() > 0.96


def test_both_ways_to_find_data_find_the_same_pictures(dataroot):
    options = Namespace(dataroot=dataroot, phase="train")
    plain, masked = (DATASETS[mode].list_domains(options, "A")["A"] for mode in ("unaligned", "unaligned_seg"))
    assert [entry.picture for entry in plain.entries] == [entry.picture for entry in masked.entries]
