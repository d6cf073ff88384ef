"""The study of damaged masks: figures by run, kind and strength, tables and curves, from a tiny model."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import mask_damage
from data.mask_noise import KINDS
from scripts import make_shapes
from tests.programs import sentence
from tests.using import tiny_run


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("shapes")
    assert make_shapes.main(["--save_root", str(root), "--size", "32", "--train", "0", "--val", "1"]) == 0
    return root


@pytest.mark.slow
def test_every_damage_is_measured_against_the_masks_that_were_drawn(shapes, tmp_path, capsys):
    run = tiny_run(tmp_path, "one")[0].path
    flags = ["--dataroot", str(shapes), "--strengths", "1", "--results", str(tmp_path / "out")]
    assert mask_damage.main([*flags, "--runs", str(run)]) == 0
    rows = json.loads((tmp_path / "out/mask_damage.json").read_text())
    assert [(row["kind"], row["strength"]) for row in rows] == [(kind, s) for kind in KINDS for s in (0.0, 1.0)]
    whole, dropped = rows[0], rows[7]
    assert all(row["shape"] == whole["shape"] for row in rows[::2])
    assert dropped["kind"] == "drop" and dropped["shape"] == dropped["colour"] == 0 and dropped["background"] == 0
    assert whole["background"] > 0.01  # of an untrained model
    capsys.readouterr()
    assert mask_damage.main(["--runs", "nowhere", "--results", str(tmp_path / "out"), "--report"]) == 0
    told = capsys.readouterr().out
    assert told.count("| `drop:1` | ") == 3 and "| none | " in told and "| one |" in told
    picture = np.asarray(Image.open(tmp_path / "out/mask_damage.png"))
    assert (picture == (31, 95, 168)).all(2).sum() > 200  # lines


def test_wrong_input_is_one_sentence(shapes, tmp_path, capsys):
    where = ("--runs", str(tmp_path / "none"), "--results", str(tmp_path / "out"))
    assert "has no shapes.json" in sentence(capsys, mask_damage.main, "--dataroot", str(tmp_path), *where)
    assert "none" in sentence(capsys, mask_damage.main, "--dataroot", str(shapes), *where)
    assert "is missing; run without --report first" in sentence(capsys, mask_damage.main, *where, "--report")
