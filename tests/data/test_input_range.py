"""Scans of 12 bits in files of 16: checking tells that they are nearly black, and --input_range makes them whole."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data import DATASETS
from data.cache import DiskCache
from data.checking.checking import check
from data.decoded import decode
from data.placement import Framing
from instagan.cli.main import main
from options.parse import parse_testing
from scripts import prepare_masks
from tests.programs import train
from tests.using import tiny_run

SIZE = (48, 40)
RAMP = np.linspace(0, 4095, SIZE[0] * SIZE[1]).reshape(SIZE[::-1]).astype(np.uint16)
"""All that 12 bits hold."""
RIGHT = (RAMP / (4095 / 255)).round().astype(np.uint8)
FRAMING = Framing("none", SIZE, SIZE, random=False, flip=False)


@pytest.fixture
def scans(tmp_path) -> Path:
    inside = np.zeros(SIZE[::-1], np.uint8)
    inside[5:17, 5:17] = 255
    for domain in "AB":
        for folder, name, pixels in ((f"train{domain}", "0.png", RAMP), (f"train{domain}_seg", "0_0.png", inside)):
            (tmp_path / folder).mkdir()
            Image.fromarray(pixels).save(tmp_path / folder / name)
    return tmp_path


def entry(scans: Path, mode: str = "unaligned_seg", **more: object):
    options = Namespace(dataroot=scans, phase="train", **more)
    (found,) = DATASETS[mode].list_domains(options, "A")["A"].entries
    return found


def test_the_check_tells_the_brightest_level_and_what_to_pass(scans):
    found = [finding for finding in check(scans).findings if finding.code == "few_levels"]
    assert [finding.file for finding in found] == ["trainA", "trainB"]
    for word in ("4095 of 65535", "17 of 256 levels", "--input_range 0-4095"):
        assert word in found[0].message
    Image.fromarray(RAMP * 16).save(scans / "trainA" / "0.png")
    assert [finding.file for finding in check(scans).findings if finding.code == "few_levels"] == ["trainB"]


def test_levels_are_scaled_to_all_of_8_bits(scans):
    assert np.asarray(entry(scans).read_picture()).max() == 16
    for mode in ("unaligned", "unaligned_seg"):
        picture = np.asarray(entry(scans, mode, input_range="0-4095").read_picture())
        assert np.array_equal(picture, np.repeat(RIGHT[..., None], 3, 2))
    picture = np.asarray(entry(scans, input_range="1000-2000").read_picture())[..., 0]
    assert (
        picture[RAMP <= 1000].max() == 0 and picture[RAMP >= 2000].min() == 255 and 100 < picture[RAMP == 1500][0] < 155
    )


def test_a_cache_tells_levels_apart(scans):
    cache = DiskCache(scans / "cache", 2**20)
    for more in ({}, {"input_range": "0-4095"}, {}):
        one = entry(scans, **more)
        assert np.array_equal(cache(one, FRAMING).picture, decode(one, FRAMING).picture)


def test_a_run_keeps_its_range(scans, tmp_path):
    assert train(scans, tmp_path, "--name", "run", "--no_html", "--max_steps", "1", "--input_range", "0-4095") == 0
    where = ["--checkpoints_dir", str(tmp_path), "--name", "run", "--dataroot", str(scans)]
    assert parse_testing(where).values.input_range == "0-4095"


@pytest.mark.parametrize("wrong", ["4095", "9-1", "0-x", "5-5", "0-9,0-8"])
def test_a_range_goes_from_black_to_white(scans, wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        prepare_masks.main(["--images1", str(scans), "--save_root", "s", "--input_range", wrong])
    assert "--input_range" in capsys.readouterr().err


def test_prepared_and_translated_pictures_are_scaled_as_well(scans, tmp_path, monkeypatch):
    labels = [word for n, d in zip("12", "AB", strict=True) for word in
              (f"--images{n}", str(scans / f"train{d}"), f"--masks{n}", str(scans / f"maps{d}"))]  # fmt: skip
    for domain in "AB":
        (scans / f"maps{domain}").mkdir()
        Image.open(scans / f"train{domain}_seg" / "0_0.png").save(scans / f"maps{domain}" / "0.png")
    flags = ["--image_size", "0", "--val_share", "0", "--workers", "1", "--save_root", str(tmp_path / "set")]
    assert prepare_masks.main(["--format", "label_maps", *labels, *flags, "--input_range", "0-4095"]) == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "set" / "trainA" / "0.png"))[..., 0], RIGHT)

    seen = []
    from instagan.cli import attributes

    source_of = attributes.source_of
    monkeypatch.setattr(
        attributes,
        "source_of",
        lambda pixels, *given, **named: seen.append(pixels) or source_of(pixels, *given, **named),
    )
    run, _ = tiny_run(tmp_path / "runs")
    files = ("--image", scans / "trainA/0.png", "--masks", scans / "trainA_seg/0_0.png", "--output", tmp_path / "y.png")
    words = ("translate", "--model", run.path, "--device", "cpu", *files, "--input_range", "0-4095")
    assert main([str(word) for word in words]) == 0
    assert np.array_equal(np.asarray(seen[0])[..., 0], RIGHT)
