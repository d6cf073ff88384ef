"""A cache changes no sample, whatever is in it, and never ends a run."""

from __future__ import annotations

import errno
import os
import pickle
import resource
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.cache import DiskCache, MemoryCache, Store, reader
from data.decoded import Decoded, decode
from data.entries import Entry, MaskFile
from data.folders import list_domain
from data.loading import TrainingLoader
from data.placement import MODES, Framing
from data.unaligned_instance_dataset import UnalignedInstanceDataset
from instagan.errors import InputError
from tests.data.test_dataset import batches, batches_agree
from tests.engine.test_resume import assert_equal
from tests.programs import draw_picture, draw_set, train, train_program

PLENTY = 2**24
FRAMING = Framing("resize_and_crop", (24, 22), (16, 16), random=True, flip=True)


@pytest.fixture
def dataroot(tmp_path) -> Path:
    return draw_set(tmp_path / "set", "train", a=(1, 0, 3, 2), b=(2, 1, 0))


def entries(root: Path, domain: str = "A") -> list[Entry]:
    return list_domain(root, "train", domain, with_masks=True)


def loader(root: Path, read=decode, framing: Framing = FRAMING, workers: int = 0) -> TrainingLoader:
    data = UnalignedInstanceDataset(entries(root), entries(root, "B"), framing, 7, False, read=read)
    return TrainingLoader(data, 1 if framing.mode in ("scale_width", "none") else 2, workers, pin_memory=False)


def cache(kind: str, root: Path, folder: Path, framing: Framing = FRAMING, capacity: int = PLENTY):
    return reader(kind, entries(root) + entries(root, "B"), framing, folder, capacity)


def assert_same_samples(root: Path, read, framing: Framing = FRAMING, workers: int = 0) -> None:
    """Twice, so that what was kept in the first epoch is used in the second one."""
    plain, cached = loader(root, framing=framing), loader(root, read, framing, workers)
    for epoch in (1, 2, 3):
        assert batches_agree(batches(cached, epoch), batches(plain, epoch))


def forbid_reading(monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("read although it is cached")

    monkeypatch.setattr(Entry, "read_picture", refuse)
    monkeypatch.setattr(MaskFile, "read", refuse)


def read_all(read, found: list[Entry]) -> list[bytes]:
    return [read(entry, FRAMING).pack() for entry in found]


def fresh(found: list[Entry]) -> list[bytes]:
    return [decode(entry, FRAMING).resized(FRAMING).pack() for entry in found]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_samples_are_the_same_to_the_last_bit(dataroot, tmp_path, kind, mode):
    framing = Framing(mode, (32, 28), (16, 16), random=True, flip=True)
    assert_same_samples(dataroot, cache(kind, dataroot, tmp_path / "cache", framing), framing)


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_several_workers_share_it_and_get_the_same_samples(dataroot, tmp_path, kind):
    read = cache(kind, dataroot, tmp_path / "cache")
    assert_same_samples(dataroot, read, workers=2)
    if kind == "ram":  # what the workers have read is there for this process
        assert read.store is not None and sum(read.store.get(place) is not None for place in range(7)) >= 4
    else:
        assert len(list((tmp_path / "cache").iterdir())) >= 4


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_what_is_kept_is_not_read_again(dataroot, tmp_path, kind, monkeypatch):
    found = entries(dataroot)
    read, expected = cache(kind, dataroot, tmp_path / "cache"), fresh(found)
    assert read_all(read, found) == expected
    forbid_reading(monkeypatch)
    assert read_all(read, found) == expected
    if kind == "disk":  # by a later run either
        assert read_all(DiskCache(tmp_path / "cache", PLENTY), found) == expected


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_it_never_grows_beyond_its_bound(dataroot, tmp_path, kind):
    found = entries(dataroot)
    bound = 2 * max(map(len, fresh(found))) + 200
    read = cache(kind, dataroot, tmp_path / "cache", capacity=bound)
    assert_same_samples(dataroot, read, workers=2)
    if kind == "ram":
        kept = [read.store.get(place) for place in range(7)]
        used = sum(len(packed) for packed in kept if packed is not None)
    else:
        used = sum(path.stat().st_size for path in (tmp_path / "cache").iterdir())
        assert DiskCache(tmp_path / "cache", bound).used.value == used
    assert 0 < used <= bound


def test_a_place_is_claimed_once_and_refused_once_for_all():
    store = Store(3, 10)
    store.put(0, b"123456")
    store.put(0, b"other")
    store.put(1, b"12345")
    store.put(2, b"1234")
    assert bytes(store.get(0)) == b"123456" and bytes(store.get(2)) == b"1234"
    assert store.get(1) is None and store.refuses(1) and not store.refuses(0)


def test_memory_that_cannot_be_had_is_one_sentence(dataroot):
    with pytest.raises(InputError, match="--cache_size"):
        MemoryCache(entries(dataroot), FRAMING, 2**62)


def test_a_worker_that_inherits_no_memory_keeps_its_own(dataroot):
    read, found = MemoryCache(entries(dataroot), FRAMING, PLENTY), entries(dataroot)
    sent = pickle.loads(pickle.dumps(read))
    assert sent.store is None
    assert read_all(sent, found) == read_all(sent, found) == fresh(found)
    assert sent.store.get(0) is not None and read.store.get(0) is None


def test_another_framing_is_not_mixed_up(dataroot, tmp_path):
    other = Framing("resize_and_crop", (40, 40), (16, 16), random=True, flip=True)
    for kind in ("ram", "disk"):
        read = cache(kind, dataroot, tmp_path / "cache")
        assert_same_samples(dataroot, read)
        assert_same_samples(dataroot, read, other)


@pytest.mark.parametrize("changed", ["picture", "mask"])
def test_a_file_that_has_changed_is_read_again(dataroot, tmp_path, changed):
    found = entries(dataroot)[2:3]
    stale = read_all(DiskCache(tmp_path / "cache", PLENTY), found)
    path = found[0].picture if changed == "picture" else found[0].masks[1].path
    image = Image.fromarray(255 - np.asarray(Image.open(path)))
    image.save(path)
    os.utime(path, ns=(1, 1))
    again = read_all(DiskCache(tmp_path / "cache", PLENTY), found)
    assert again == fresh(found) != stale
    assert len(list((tmp_path / "cache").iterdir())) == 1  # in the place of the stale one


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "format", "folder"])
def test_a_damaged_entry_is_read_again(dataroot, tmp_path, damage):
    found = entries(dataroot)[2:3]
    read_all(DiskCache(tmp_path / "cache", PLENTY), found)
    (path,) = (tmp_path / "cache").iterdir()
    whole = bytearray(path.read_bytes())
    if damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        place = 3 if damage == "format" else -9
        flipped = whole.copy()
        flipped[place] ^= 1
        path.write_bytes({"empty": b"", "cut": whole[:-5]}.get(damage, flipped))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a folder in its place cannot be replaced
        assert read_all(DiskCache(tmp_path / "cache", PLENTY), found) == fresh(found)
    assert damage == "folder" or path.read_bytes() == whole


def test_a_file_that_is_gone_is_named(dataroot, tmp_path):
    found = entries(dataroot)[2]
    found.masks[1].path.unlink()
    for kind in ("ram", "disk"):
        with pytest.raises(InputError, match=f"{found.masks[1].path.name}.*gone"):
            cache(kind, dataroot, tmp_path / "cache")
            read = reader(kind, [found], FRAMING, tmp_path / "cache", PLENTY)
            Decoded.pack(read(found, FRAMING))


def test_a_disk_that_refuses_ends_caching_and_leaves_nothing_half(dataroot, tmp_path):
    found, read = entries(dataroot), DiskCache(tmp_path / "cache", PLENTY)
    first = read_all(read, found[:1])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))  # writing fails after 500 bytes
    try:
        with pytest.warns(UserWarning, match="no more samples are cached") as caught:
            rest = [placed(read, entry) for entry in found[1:]]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(caught) == 1
    assert rest == [placed(decode, entry) for entry in found[1:]]
    (kept,) = (tmp_path / "cache").iterdir()
    assert kept.stat().st_size == read.used.value and first == fresh(found[:1])


def placed(read, entry: Entry) -> bytes:
    return read(entry, FRAMING).resized(FRAMING).pack()


def test_training_goes_on_when_the_disk_is_full(dataroot, tmp_path, monkeypatch, recwarn):
    run = ("--niter", "1", "--niter_decay", "0", "--no_html")
    assert train(dataroot, tmp_path, "--name", "plain", *run) == 0

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        flags = ("--cache", "disk", "--cache_dir", str(tmp_path / "cache"))
        assert train(dataroot, tmp_path, "--name", "full", *run, *flags) == 0
    assert sum("No space left" in str(warning.message) for warning in recwarn) == 1
    assert not list((tmp_path / "cache").iterdir())
    weights = [torch.load(tmp_path / name / "latest.pth", weights_only=True)["networks"] for name in ("plain", "full")]
    assert_equal(*weights)


def test_left_over_temporary_files_go_and_others_stay(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    for name in ("old.tmp", "new.tmp"):
        (folder / name).write_bytes(b"x")
    os.utime(folder / "old.tmp", (1, 1))
    DiskCache(folder, PLENTY)
    assert [path.name for path in folder.iterdir()] == ["new.tmp"]


def test_a_folder_that_cannot_be_is_one_sentence(dataroot, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    flags = ("--cache", "disk", "--cache_dir", str(tmp_path / "file" / "cache"), "--checkpoints_dir", str(tmp_path))
    capsys.readouterr()
    assert train_program.main(["--dataroot", str(dataroot), "--display_id", "0", *flags]) == 2
    assert "--cache_dir" in capsys.readouterr().err


def test_a_picture_in_both_domains_is_kept_for_each_with_its_masks(tmp_path):
    draw_picture(tmp_path / "trainA" / "p.png", masks=3)
    (entry,) = list_domain(tmp_path, "train", "A", with_masks=True)
    halves = [Entry(entry.picture, entry.masks[:1]), Entry(entry.picture, entry.masks[1:])]
    for kind in ("ram", "disk"):
        read = reader(kind, halves, FRAMING, tmp_path / "cache", PLENTY)
        assert read_all(read, halves) == read_all(read, halves) == fresh(halves)
