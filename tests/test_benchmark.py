"""The benchmark of the loader: every variant reads the same files, and its figures can be used. Never any seconds."""

import json

import numpy as np
import pytest

from data.folders import list_domain
from scripts import benchmark
from scripts.benchmarks.loader import OURS, PlainPairs
from scripts.benchmarks.measuring import Spread, interleave, ratio, table
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


def test_the_plain_variant_makes_pictures_and_masks_that_agree(tmp_path):
    """It is a fair comparison only if it does the whole work."""
    root = draw_set(tmp_path / "set", "train", (2,), (1,))
    pair = tuple(list_domain(root, "train", domain, with_masks=True)[0] for domain in "AB")
    sample = PlainPairs([pair], 24, 24)[0]
    assert sample["A"].shape == (3, 24, 24) and sample["A_segs"].shape == (20, 24, 24)
    assert sample["A"].min() >= -1 and sample["A"].max() <= 1
    assert (sample["A_segs"][2:] == -1).all() and (sample["A_segs"][:2].flatten(1).max(1).values > 0.9).all()


def test_wrong_input_is_one_sentence(tmp_path, capsys):
    assert benchmark.main(["loader", "--dataroot", str(tmp_path / "none")]) == 2
    assert run(tmp_path, "--json", str(tmp_path / "no" / "figures.json")) == 2
    assert "--json" in capsys.readouterr().err.splitlines()[-1]


def test_variants_take_turns_and_the_warm_up_does_not_count():
    order = []
    seconds = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=3)
    assert order == ["a", "b"] * 4
    assert {name: len(found) for name, found in seconds.items()} == {"a": 3, "b": 3}


def test_spreads_and_tables():
    assert Spread.of([3.0, 1.0, 8.0]) == Spread(3.0, 1.0, 8.0)
    assert ratio([2.0, 9.0], [1.0, 3.0]) == Spread(2.5, 2.0, 3.0)
    lines = table(("name", "x"), [("long name", 1), ("b", 200)]).splitlines()
    assert [line.split()[-1] for line in lines] == ["x", "1", "200"]
    assert len({len(line) for line in lines}) == 1 and np.all([line[0] != " " for line in lines])
