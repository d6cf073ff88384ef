"""check_data.py names everything that is wrong in one run, and calls an error exactly what the loader refuses."""

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.checking.checking import check
from data.checking.files import FORMATS, Limits
from data.checking.findings import ERRORS, SEVERITIES, WARNINGS
from data.checking.masks import Region
from data.checking.naming import find_phases
from data.checking.preview import choose, numbered
from data.folders import list_domain
from data.placement import Framing
from data.unaligned_instance_dataset import DomainDataset
from instagan.errors import InputError
from instagan.io.reading import PICTURE_ENDINGS
from pages.text import readable
from scripts import check_data, make_shapes
from tests.planting import ALONE, FAULTS, Expected, cut, good_set, picture, square
from tests.programs import ROOT, draw_set, sentence, train

FRAMING = Framing("resize_and_crop", (36, 36), (32, 32), random=False, flip=False)


def found_in(report) -> Expected:
    return {(finding.code, finding.file) for finding in report.findings}


def refusal(root: Path, phase: str, domain: str) -> str:
    """What the loader says when all pictures of a domain are read; nothing if it reads them."""
    try:
        dataset = DomainDataset(list_domain(root, phase, domain, with_masks=True), FRAMING)
        assert all(dataset[index].image.shape == (3, 32, 32) for index in range(len(dataset)))
    except InputError as error:
        return str(error)
    return ""


def plant_all(root: Path) -> Expected:
    """Everything but what hides others, in one data set."""
    expected = {("domain_sizes", "trainB")}
    for name, plant in FAULTS.items():
        if name not in ALONE:
            expected |= plant(root)
    return expected


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> tuple[Path, Expected]:
    root = good_set(tmp_path_factory.mktemp("planted") / "mine")
    return root, plant_all(root)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("clean") / "shapes"
    assert make_shapes.main(["--save_root", str(root), "--train", "6", "--val", "3"]) == 0
    return root


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_alone_is_found_and_an_error_is_what_the_loader_refuses(tmp_path, name):
    root = good_set(tmp_path / "set")
    assert check(root).findings == ()
    expected = FAULTS[name](root)
    report = check(root)
    assert found_in(report) == expected
    domains = [(phase, domain) for phase in find_phases(root) for domain in "AB" if (phase, domain) != ("holiday", "B")]
    refused = [message for phase, domain in domains if (message := refusal(root, phase, domain))]
    if name == "no_mask_at_all":  # a matter of both domains: train.py refuses it
        assert not refused
        refused = [name] if train(root, tmp_path / "runs", "--name", "r") == 2 else []
    assert bool(report.count("error")) == bool(refused), (report.findings, refused)


def test_all_is_named_in_one_run(planted, tmp_path, capsys):
    root, expected = planted
    assert len(FAULTS) - len(ALONE) > 25
    assert check_data.main(["--dataroot", str(root), "--json", str(tmp_path / "r.json"), "--workers", "1"]) == 1
    output = capsys.readouterr()
    content = json.loads((tmp_path / "r.json").read_text())
    assert {(finding["code"], finding["file"]) for finding in content["findings"]} == expected
    lines = output.out.splitlines()
    assert len(lines) == len(content["findings"]) + 1
    for code, file in expected:
        assert any(f" {readable(file)} " in line and line.endswith(f"[{code}]") for line in lines), (code, file)
    assert output.out.isprintable() or set(filter(lambda letter: not letter.isprintable(), output.out)) == {"\n"}
    errors, warnings = (sum(SEVERITIES[code] == kind for code, _ in expected) for kind in ("error", "warning"))
    assert f"{errors} errors, {warnings} warnings" in lines[-1]
    assert (content["errors"], content["warnings"]) == (errors, warnings)
    assert content["pictures"] == sum(domain["pictures"] for domain in content["domains"].values())


def test_every_code_is_planted_and_documented():
    planned = (ROOT / "tests" / "planting.py").read_text()
    document = (ROOT / "docs" / "checking_data.md").read_text()
    for code in (*ERRORS, *WARNINGS):
        assert f"`{code}`" in document
        if code not in ("unreadable_folder", "refused"):
            assert f'("{code}"' in planned
    assert len(SEVERITIES) == len(ERRORS) + len(WARNINGS)


def test_the_report_does_not_depend_on_the_workers(planted, tmp_path, capsys):
    root, _ = planted
    told = []
    for workers in ("1", "2"):
        file = tmp_path / f"{workers}.json"
        assert check_data.main(["--dataroot", str(root), "--workers", workers, "--json", str(file)]) == 1
        told.append((file.read_bytes(), capsys.readouterr().out.splitlines()[:-1]))
    assert told[0] == told[1]
    files = [finding["file"] for finding in json.loads(told[0][0])["findings"]]
    assert files == sorted(files)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_what_passes_trains(tmp_path):
    """A set with every warning there is, but no error, is read to its end and trained on."""
    root = good_set(tmp_path / "set")
    for name, plant in FAULTS.items():
        if name not in ALONE and name != "long_name":
            undo = {path for path in root.rglob("*")}
            if any(SEVERITIES[code] == "error" for code, _ in plant(root)):
                for path in set(root.rglob("*")) - undo:
                    path.unlink()
    report = check(root)
    assert report.count("error") == 0 and report.count("warning") > 30
    assert not any(refusal(root, "train", domain) for domain in "AB")
    assert train(root, tmp_path / "runs", "--name", "r", "--no_html", "--max_steps", "1") == 0


def test_a_clean_set_gives_no_finding(shapes, tmp_path, capsys):
    file = tmp_path / "report.json"
    assert check_data.main(["--dataroot", str(shapes), "--phases", "train", "val", "--json", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    content = json.loads(file.read_text())
    assert content["findings"] == [] and content["pictures"] == 18
    assert len(lines) == 1 and f"18 pictures, {content['masks']} masks; 0 errors, 0 warnings, " in lines[0]


def test_warnings_alone_end_with_0_and_are_cut_short_of_each_kind(tmp_path, capsys):
    root = draw_set(tmp_path / "set", "train", a=[1, 0, 0, 0, 0], b=[1, 0, 1])
    assert check_data.main(["--dataroot", str(root), "--list", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and "... and 3 more [picture_without_masks]" in lines[2]
    assert check_data.main(["--dataroot", str(root), "--list", "0"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_a_mode_without_masks_looks_at_pictures_alone(tmp_path):
    root = good_set(tmp_path / "set")
    for domain in "AB":
        for mask in (root / f"train{domain}_seg").iterdir():
            cut(mask, 0.2)
    assert check(root).count("error") == 8
    assert check(root, with_masks=False).findings == ()


def test_phases_that_are_asked_for_must_be_there(tmp_path):
    root = good_set(tmp_path / "set")
    picture(root, "p", square(1, 1, 9, 9), domain="testA")
    assert found_in(check(root)) == {("one_domain", "testA")}
    assert found_in(check(root, ["train"])) == set()
    assert found_in(check(root, ["test"])) == {("missing_folder", "testB"), ("missing_folder", "testB_seg")}
    assert {file for _, file in found_in(check(root, ["val", "val"]))} == {"valA", "valA_seg", "valB", "valB_seg"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "webp"])
def test_damage_of_any_kind_is_an_error_exactly_where_the_loader_refuses(tmp_path, kind):
    root = draw_set(tmp_path / "set", "train", a=[1], b=[1])
    random = np.random.default_rng(0)
    files = [root / f"trainA/a0.{kind}", root / f"trainA_seg/a0_0.{kind}"]
    for file in files:
        with Image.open(file.with_suffix(".png")) as image:
            image.load()
        file.with_suffix(".png").unlink()
        image.save(file, lossless=True) if kind == "webp" else image.save(file)
    outcomes = []
    for turn in range(24):
        whole = files[turn % 2].read_bytes()
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), random.integers(1, 6)):
            damaged[place if turn % 4 < 2 else place % 64] = random.integers(256)
        files[turn % 2].write_bytes(damaged[: random.integers(len(whole) // 2, 2 * len(whole))])
        report = check(root)
        outcomes.append(bool(report.count("error")))
        assert outcomes[-1] == bool(refusal(root, "train", "A")), (turn, report.findings)
        files[turn % 2].write_bytes(whole)
    assert any(outcomes)


def test_every_ending_that_is_read_has_its_formats():
    assert set(FORMATS) == set(PICTURE_ENDINGS)


def test_limits_are_limits(tmp_path):
    root = good_set(tmp_path / "set")
    picture(root, "p", square(0, 0, 10, 10), square(5, 0, 15, 10))  # intersection over union 1 / 3
    assert found_in(check(root, limits=Limits(overlap=0.34))) == set()
    assert found_in(check(root, limits=Limits(overlap=0.33))) == {("overlapping_masks", "trainA_seg/p_1.png")}
    assert ("tiny_mask", "trainA_seg/p_0.png") in found_in(check(root, limits=Limits(tiny_area=101)))
    assert ("tiny_mask", "trainA_seg/p_0.png") not in found_in(check(root, limits=Limits(tiny_area=100)))
    assert found_in(check(root, limits=Limits(imbalance=1.5))) == {("domain_sizes", "trainB")}


def test_overlaps_are_those_of_whole_masks():
    random = np.random.default_rng(0)
    for _ in range(50):
        masks = [np.zeros((20, 30), bool) for _ in range(2)]
        for mask in masks:
            left, top, right, bottom = random.integers(0, 15, 4) + (0, 0, 15, 5)
            mask[top:bottom, left:right] = random.random(mask[top:bottom, left:right].shape) > 0.3
        one, other = (Region.of(mask) for mask in masks)
        union = (masks[0] | masks[1]).sum()
        assert one.overlap(other) == pytest.approx((masks[0] & masks[1]).sum() / union if union else 0)
        assert one.area == masks[0].sum()


def test_a_folder_that_may_not_be_read_is_an_error(tmp_path, monkeypatch):
    root = good_set(tmp_path / "set")
    iterdir = Path.iterdir

    def guarded(path: Path):
        if path.name == "trainB_seg":
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", guarded)  # chmod stops no administrator
    assert found_in(check(root)) == {("unreadable_folder", "trainB_seg")}


def test_a_phase_that_does_not_pair_is_excused_only_where_it_may(tmp_path):
    root = good_set(tmp_path / "set")
    (root / "testA_seg").mkdir()
    assert found_in(check(root)) == {("missing_folder", name) for name in ("testA", "testB", "testB_seg")}
    (root / "testA_seg").rmdir()
    (root / "testB").symlink_to("testB")
    assert found_in(check(root)) == {("missing_folder", f"test{name}") for name in ("A", "B", "A_seg", "B_seg")}


def test_folders_of_many_domains_are_checked_like_two(tmp_path, capsys):
    root = tmp_path / "four"
    domains = ("square", "triangle", "circle", "star")
    assert make_shapes.main(["--save_root", str(root), "--train", "2", "--val", "1", "--domains", "4"]) == 0
    assert found_in(check(root, domains=domains)) == set()
    run = ["--dataroot", str(root), "--domains", ",".join(domains), "--workers", "1"]
    assert check_data.main(run) == 0
    mask = next((root / "train_star_seg").iterdir())
    mask.write_bytes(b"")
    (root / "val_circle").rename(root / "val_round")
    assert found_in(check(root, domains=domains)) == {
        ("zero_bytes", f"train_star_seg/{mask.name}"), ("missing_folder", "val_circle"), ("other_folder", "val_round"),
        *(("mask_without_picture", f"val_circle_seg/{file.name}") for file in (root / "val_circle_seg").iterdir()),
    }  # fmt: skip
    assert check_data.main(run) == 1
    capsys.readouterr()
    assert "name with --domains those that it has" in sentence(capsys, check_data.main, "--dataroot", str(root))
    assert "'star' names less than two" in sentence(
        capsys, check_data.main, "--dataroot", str(root), "--domains", "star"
    )


def test_a_picture_too_large_for_pillow_is_unreadable(tmp_path):
    root = good_set(tmp_path / "set")
    files = picture(root, "huge", square(1, 1, 9, 9))
    content = bytearray(files[0].read_bytes())
    content[16:24] = (200_000).to_bytes(4, "big") * 2  # width and height in the head of a PNG
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    files[0].write_bytes(content)
    assert found_in(check(root)) == {("unreadable", "trainA_seg/huge_0.png")}
    assert "pixels" in refusal(root, "train", "A")


def test_a_description_that_makes_no_sense_is_refused_in_the_loaders_words(tmp_path):
    root = good_set(tmp_path / "set")
    (root / "dataset.json").write_text('{"format": 1, "pictures": {}}')
    report = check(root)
    assert bool(refusal(root, "train", "A")) == bool(report.findings)
    assert found_in(report) <= {("refused", "dataset.json")}


WRONG = {
    "no folder": (["--dataroot", "{root}/nowhere"], "nowhere"),
    "a file": (["--dataroot", "{root}/trainA/a0.png"], "a0.png"),
    "no phase": (["--dataroot", "{root}/trainA"], "trainA"),
    "no flag": ([], "--dataroot"),
    "phase with a slash": (["--dataroot", "{root}", "--phases", "../train"], "--phases"),
    "json into nowhere": (["--dataroot", "{root}", "--json", "{root}/no/r.json"], "--json"),
    "json is a folder": (["--dataroot", "{root}", "--json", "{root}"], "--json"),
    "overlap above 1": (["--dataroot", "{root}", "--overlap", "1.5"], "--overlap"),
    "overlap nan": (["--dataroot", "{root}", "--overlap", "nan"], "--overlap"),
    "no workers": (["--dataroot", "{root}", "--workers", "0"], "--workers"),
    "negative area": (["--dataroot", "{root}", "--tiny_area", "-1"], "--tiny_area"),
    "no preview": (["--dataroot", "{root}", "--preview", "none"], "--preview"),
    "preview in the data": (["--dataroot", "{root}", "--preview_dir", "{root}/trainA"], "--preview_dir"),
    "preview in a file": (["--dataroot", "{root}", "--preview_dir", "{root}/trainA/a0.png/x"], "--preview_dir"),
    "unknown flag": (["--dataroot", "{root}", "--fix"], "--fix"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_sentence(tmp_path, capsys, case):
    root = good_set(tmp_path / "set")
    argv, named = WRONG[case]
    before = sorted(root.rglob("*"))
    said = sentence(capsys, check_data.main, *(word.format(root=root) for word in argv))
    assert named in said
    assert sorted(root.rglob("*")) == before


def test_the_preview_shows_pictures_of_each_domain(planted, tmp_path, capsys):
    root, _ = planted
    folder = tmp_path / "look"
    for _ in range(2):  # the second replaces the first
        check_data.main(["--dataroot", str(root), "--preview", "40", "--preview_dir", str(folder), "--workers", "1"])
    assert f"preview: {folder / 'index.html'}" in capsys.readouterr().out
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page and "&lt;img src=x" in page and "\x1b" not in page and "\udce9" not in page
    shown = [name for name in os.listdir(folder) if name.endswith(".png")]
    assert all(f'href="{name}"' in page for name in shown)
    assert all(name.isascii() for name in shown)
    assert {name.split("_")[0] for name in shown} == {"trainA", "trainB", "valA", "valB", "holidayA", "contact"}
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.width > 5 * 300 and sheet.height > 300


def test_the_preview_goes_to_results_and_depends_on_the_seed_alone(shapes, tmp_path, monkeypatch, capsys):
    """In a process of its own, which hashes strings differently, and in this one."""
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
    flags = ["--dataroot", str(shapes), "--preview", "2"]
    command = [sys.executable, ROOT / "scripts" / "check_data.py", *flags]
    ended = subprocess.run(command, cwd=tmp_path / "one", capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0 and ended.stderr == "", ended.stderr
    monkeypatch.chdir(tmp_path / "two")
    assert check_data.main(flags) == 0 and capsys.readouterr().err == ""
    folders = [tmp_path / run / "results" / "check_data" / "shapes" for run in ("one", "two")]
    assert len(os.listdir(folders[0])) == 2 + 4 * 2 * 2
    for file in folders[0].iterdir():
        assert file.read_bytes() == (folders[1] / file.name).read_bytes()
    listing = check(shapes).listings[0]
    chosen = [[one.task.picture.name for one in choose(listing, 3, seed)] for seed in range(6)]
    assert len(set(map(tuple, chosen))) > 1 and all(names == sorted(names) for names in chosen)


def test_numbers_are_drawn_at_their_instances():
    grey = Image.new("RGB", (320, 320), (128, 128, 128))
    masks = [square(20, 30, 140, 150, grey.size) > 0, square(200, 180, 210, 190, grey.size) > 0]
    drawn, other, turned = (
        np.asarray(numbered(grey, masks, numbers)).astype(int) for numbers in ((0, 1), (0, 7), (5, 1))
    )

    def where(pixels: np.ndarray) -> tuple[float, float]:
        rows, columns = np.nonzero((pixels != drawn).any(2))
        return columns.mean(), rows.mean()

    assert where(turned) == pytest.approx((80, 90), abs=4), "in the middle of a large one"
    column, row = where(other)
    assert column == pytest.approx(205, abs=4) and 160 < row < 180, "above a small one, which stays visible"
    assert (drawn[180:190, 200:210] != 128).any(2).all()
    assert drawn[90, 80].tolist() != drawn[50, 40].tolist() != [128, 128, 128]


def test_a_number_stands_on_its_instance_whatever_its_shape():
    ring = square(20, 20, 300, 300, (320, 320)) > 0
    ring[110:210, 110:210] = False
    grey = Image.new("RGB", (320, 320), (128, 128, 128))
    zero, eight = (np.asarray(numbered(grey, [ring], (number,))) for number in (0, 8))
    rows, columns = np.nonzero((zero != eight).any(2))
    assert ring[rows, columns].all()


def test_no_number_hides_another():
    grey = Image.new("RGB", (320, 320), (128, 128, 128))
    crowd = [square(100, 100, 104, 104, grey.size) > 0] * 3 + [square(0, 0, 320, 320, grey.size) > 0] * 2
    plain = np.asarray(numbered(grey, crowd, [0] * 5))
    changed = []
    for slot in range(5):
        numbers = [8 if other == slot else 0 for other in range(5)]
        changed.append((np.asarray(numbered(grey, crowd, numbers)) != plain).any(2))
        assert changed[-1].sum() > 10
    assert np.sum(changed, axis=0).max() == 1
