"""The benchmark of the loader: every variant reads the same files, and its figures can be used. Never any seconds."""

import json
import sys
import time
from functools import partial

import numpy as np
import pytest
from PIL import Image

from benchmarks import benchmark
from benchmarks.speed.loader import OURS
from benchmarks.speed.measuring import Spread, clocked, interleave, ratio, table
from benchmarks.speed.published_loader import PublishedPairs, published_transform
from instagan.io.torchvision_import import import_torchvision
from tests.programs import draw_set

VARIANTS = {"plain", "decode", *OURS}
MASKS_A, MASKS_B = (1, 3), (2, 0, 1)


def run(tmp_path, *flags: str) -> int:
    root = draw_set(tmp_path / "set", "train", MASKS_A, MASKS_B)
    sizes = ("--load_size", "24", "--fine_size", "16", "--pairs", "4", "--repeats", "2")
    return benchmark.main(["loader", "--dataroot", str(root), *sizes, *flags])


@pytest.mark.parametrize("workers", [("0",), ("0", "1")])
def test_all_variants_read_the_same_files(tmp_path, capsys, workers):
    assert run(tmp_path, "--workers", *workers, "--json", str(tmp_path / "figures.json")) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    files = sum(2 + MASKS_A[pair % 2] + MASKS_B[pair % 3] for pair in range(4))
    assert figures["command"] == "loader" and figures["machine"]["threads"] == 1 and figures["pairs"] == 4
    assert set(figures["workers"]) == set(workers)
    for found in figures["workers"].values():
        assert found["files"] == dict.fromkeys(VARIANTS, files)
        assert set(found["pairs_per_second"]) == VARIANTS
        assert {"ours/plain", "ours/decode", "ram/plain", "disk/plain"} <= set(found["ratios"])
        for spread in (*found["pairs_per_second"].values(), *found["ratios"].values()):
            assert 0 < spread["min"] <= spread["median"] <= spread["max"]
    shown = capsys.readouterr().out
    assert all(shown.count(f"\n{name} ") == len(workers) for name in VARIANTS)


@pytest.mark.parametrize("own", [False, True], ids=("torchvision", "without"))
def test_the_plain_variant_does_the_whole_work(tmp_path, monkeypatch, own):
    """The comparison is fair only if pictures and masks come out as the published loader makes them."""
    if own:
        monkeypatch.setitem(sys.modules, "torchvision", None)
    else:
        import_torchvision()
    transform, origin = published_transform(24, 24)
    assert ("not installed" in origin) == own
    root = draw_set(tmp_path / "set", "train", (2,), (0,))
    paths = tuple(root / f"train{domain}" / f"{domain.lower()}0.png" for domain in "AB")
    sample = PublishedPairs([paths], transform)[0]
    assert sample["A"].shape == sample["B"].shape == (3, 24, 24) and sample["files"] == 4
    assert sample["A_segs"].shape == sample["B_segs"].shape == (20, 24, 24)
    assert (sample["A_segs"][2:] == -1).all() and (sample["B_segs"] == -1).all()
    for layer, path in ((sample["A"], paths[0]), (sample["A_segs"][1:2], root / "trainA_seg" / "a0_1.png")):
        resized = np.asarray(Image.open(path).resize((24, 24), Image.Resampling.BICUBIC), np.float32) / 127.5 - 1
        resized = resized.reshape(24, 24, -1).transpose(2, 0, 1)
        assert any(np.allclose(layer, turned, atol=1e-5) for turned in (resized, resized[:, :, ::-1]))


@pytest.mark.parametrize("own", [False, True], ids=("torchvision", "without"))
def test_the_plain_variant_crops_and_mirrors_at_random(tmp_path, monkeypatch, own):
    if own:
        monkeypatch.setitem(sys.modules, "torchvision", None)
    else:
        import_torchvision()
    transform, _ = published_transform(12, 10)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8))
    assert len({transform(image).numpy().tobytes() for _ in range(200)}) == 3 * 3 * 2


def test_wrong_input_is_one_sentence(tmp_path, capsys):
    assert benchmark.main(["loader", "--dataroot", str(tmp_path / "none")]) == 2
    assert run(tmp_path, "--json", str(tmp_path / "no" / "figures.json")) == 2
    assert "figures.json cannot be written" in capsys.readouterr().err.splitlines()[-1]


def test_variants_take_turns_and_the_warm_up_does_not_count():
    order = []

    def variant(name):
        order.append(name)
        return float(len(order))

    seconds = interleave({name: partial(variant, name) for name in "ab"}, repeats=3)
    assert order == ["a", "b"] * 4
    assert seconds == {"a": [3, 5, 7], "b": [4, 6, 8]}


def test_the_clock_tells_how_long_it_took():
    assert 0.02 <= clocked(partial(time.sleep, 0.02))() < 60


def test_spreads_and_tables():
    assert Spread.of([3.0, 1.0, 8.0]) == Spread(3.0, 1.0, 8.0)
    assert ratio([2.0, 9.0], [1.0, 3.0]) == Spread(2.5, 2.0, 3.0)
    lines = table(("name", "x"), [("long name", 1), ("b", 200)]).splitlines()
    assert [line.split()[-1] for line in lines] == ["x", "1", "200"]
    assert len({len(line) for line in lines}) == 1 and np.all([line[0] != " " for line in lines])
