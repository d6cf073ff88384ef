"""File names with tricks for shells, pages, paths and terminals go through every program and come out as text."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from instagan.cli.main import main
from scripts import check_data, evaluate, make_shapes, make_streets, measure_streets, measure_styles
from tests.browser import chromium, console_errors
from tests.preparing import coco_content, draw_noise
from tests.programs import draw_picture, sentence, tiny, train_program
from tests.soak.fuzzing.pages import LIGHTBOX, check_page
from tests.test_floors import ROOT

NAMES = (
    "<script>document.title='pwned'<%script>".replace("%", "\u2215"),
    "\"><img src=x onerror=document.title='pwned'>",
    "' onload='document.title=1",
    "javascript:alert(1)",
    "two\nlines\r",
    "\x1b[2J\x1b]0;pwned\x07",
    "..\\..\\outside",
    "$(touch pwned)`touch pwned`; touch pwned | touch pwned",
    "-rf --output=pwned",
    "%2e%2e%2foutside?#",
    "\u202egnp.exe",
    os.fsdecode(b"\xff\xfe no UTF-8"),
    "..name",
    "x" * 240,
    "\U0001f411" * 60,
    "InputError: ",
    "CON",
)
"""Names of pictures, without their ending."""

READ = [name for name in NAMES if not name.startswith(".")]
"""Hidden files are no pictures."""

STRICT = {"PYTHONIOENCODING": "utf-8:strict", "OMP_NUM_THREADS": "1"}
"""What a program cannot show raises an error here, as it does in most terminals."""


def run(*command, cwd=ROOT, code=0):
    """What a program told on stdout, after holding it to its promises."""
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, capture_output=True, timeout=300, env={**os.environ, **STRICT}
    )
    assert done.returncode == code and b"Traceback" not in done.stderr, (done.returncode, done.stderr.decode())
    told = done.stdout.decode()
    assert "\x1b]0;" not in told + done.stderr.decode() and "\u202e" not in told
    return told


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def page_shows(page, names):
    text = page.read_text(encoding="utf-8")
    check_page(page)
    others = text.replace(f"<script>{LIGHTBOX}", "")  # the gallery's own
    assert "<script" not in others and "onerror=document.title='pwned'>" not in text.replace("&gt;", "")
    assert text.count("&lt;script&gt;") >= 1
    return text


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A data set of pictures with such names, in a folder with such a name; trained on, translated, checked."""
    place = tmp_path_factory.mktemp("hostile")
    root = place / os.fsdecode(b"<b>\n\xff&") / "set"
    for phase in ("train", "val"):
        for domain in "AB":
            for number, name in enumerate(NAMES):
                stem = name if len(os.fsencode(name)) < 240 else name[: len(name) - len(name) // 20]
                draw_picture(root / f"{phase}{domain}" / f"{stem}.png", 1 + number % 2, (32, 32), seed=number)
    runs = ("--dataroot", root, "--checkpoints_dir", place / "checkpoints", "--name", "run")
    before = files(place)
    run("train.py", *runs, *tiny(), "--niter", "1", "--niter_decay", "0", "--print_freq", "1",
        "--update_html_freq", "1")  # fmt: skip
    run("test.py", *runs, "--phase", "val", "--results_dir", place / "results", "--num_threads", "1", "--device", "cpu",
        "--save_coco", "--num_test", "99")  # fmt: skip
    run("scripts/check_data.py", "--dataroot", root, "--preview", "99", "--preview_dir", place / "preview",
        "--json", place / "report.json", "--workers", "1")  # fmt: skip
    assert set(before) <= set(files(place))
    return place, root


def test_nothing_was_run_and_nothing_lies_elsewhere(world):
    place, root = world
    assert not list(place.rglob("pwned")) and not (ROOT / "pwned").exists()
    assert {path.name for path in place.iterdir()} == {
        root.parent.name, "checkpoints", "results", "preview", "report.json",
    }  # fmt: skip
    assert not [path for path in files(place) if path.name.endswith((".tmp", ".part"))]
    results = place / "results" / "run" / "val_latest"
    assert {path.parent for path in files(place / "results")} == {results}
    assert {path.parent for path in files(place / "preview")} == {place / "preview"}


def test_every_picture_has_its_results_and_annotations(world):
    place, _ = world
    results = place / "results" / "run" / "val_latest"
    fakes = [path for path in files(results) if path.name.endswith("_fake_B.png")]
    assert len(fakes) == len(READ)
    told = json.loads((results / "annotations.json").read_text())
    names = {image["source_file_name"] for image in told["images"]}
    assert {f"{name}.png" for name in READ[:10]} <= names
    for image in told["images"]:
        assert (results / image["file_name"]).is_file() and "/" not in image["file_name"]
    log = [json.loads(line) for line in (place / "checkpoints/run/loss_log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(1, len(READ) + 1))


@pytest.mark.parametrize(
    "page", ["checkpoints/run/web/index.html", "results/run/val_latest/index.html", "preview/index.html"]
)
def test_pages_hold_text_and_files_beside_them(world, page):
    text = page_shows(world[0] / page, NAMES)
    for raw in ("\x1b", "\u202e", "\r"):
        assert raw not in text


def test_no_script_runs_in_a_browser(world, tmp_path):
    place, _ = world
    pages = ("checkpoints/run/web/index.html", "results/run/val_latest/index.html", "preview/index.html")
    with chromium(tmp_path / "profile") as browser:
        for page in pages:
            browser.get((place / page).resolve().as_uri())
            assert "pwned" not in browser.title and browser.title != "1"
            for picture in browser.find_elements("tag name", "img"):
                browser.execute_script("arguments[0].loading = 'eager'", picture)
            browser.set_script_timeout(30)
            broken = browser.execute_async_script(
                "const done = arguments[0]; Promise.allSettled([...document.images].map(i => i.decode())).then(() => "
                "done([...document.images].filter(i => !i.naturalWidth).map(i => i.src)))"
            )
            assert broken == []
            assert not browser.execute_script("return document.querySelectorAll('[onerror], [onload]').length")
            scripts = browser.execute_script("return [...document.scripts].map(one => one.src || one.text)")
            assert scripts in ([], [LIGHTBOX])
            assert [line for line in console_errors(browser) if "Refused" in line or "script" in line.lower()] == []


def test_the_check_reports_every_odd_name(world):
    place, _ = world
    report = json.loads((place / "report.json").read_text())
    odd = {finding["file"] for finding in report["findings"] if finding["code"] == "odd_name"}
    for name in ("two\nlines\r", "\x1b[2J\x1b]0;pwned\x07", "\u202egnp.exe"):
        assert f"trainA/{name}.png" in odd


def test_names_in_a_coco_json_lead_nowhere(tmp_path):
    content = coco_content()
    inside = ["<script>1<\\script>.jpg", "a\nb.jpg", "-rf.jpg", "\u202egnp.jpg"]
    for image, name in zip(content["images"], inside, strict=False):
        image["file_name"] = name
        draw_noise(tmp_path / "images" / name, (60, 40))
    outside = ["../outside.jpg", "/etc/hostname", "..", "\ud800.jpg", "a\0b.jpg", "sub/../../x.jpg", "", "~/x.jpg"]
    draw_noise(tmp_path / "outside.jpg", (60, 40))
    for number, name in enumerate(outside):
        content["images"].append({"id": 50 + number, "file_name": name, "width": 60, "height": 40})
        content["annotations"].append({**content["annotations"][0], "id": 900 + number, "image_id": 50 + number})
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content))
    flags = ("--annotations", file, "--images", tmp_path / "images", "--cat1", "cow", "--cat2", "sheep")
    more = ("--save_root", tmp_path / "set", "--image_size", "32", "--skip_bad", "--workers", "1")
    told = run("scripts/prepare_coco.py", *flags, *more)
    assert "trainA" in told and not (tmp_path / "outside.png").exists()
    described = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert not any("outside" in entry["source"] for entry in described["pictures"].values())
    for path in files(tmp_path / "set"):
        assert path.name.isprintable() or "\u202e" in path.name
        assert not set(path.name) & set('<>:"|?*\\\n')


@pytest.fixture(scope="module")
def model(world):
    return world[0] / "checkpoints" / "run"


def test_the_command_translates_pictures_of_any_name(world, model, tmp_path, capsys):
    _, root = world
    told = run("-m", "instagan", "translate", "--model", model, "--images", root / "valA", "--masks_dir",
               root / "valA_seg", "--output_dir", tmp_path / "out", "--device", "cpu")  # fmt: skip
    assert told and len([path for path in files(tmp_path / "out") if "_mask_" not in path.name]) == len(READ)
    content = coco_content()
    for image, name in zip(content["images"], ("\ud800.jpg", "a\nb.jpg", "../x.jpg", "", "c.jpg"), strict=False):
        image["file_name"] = name
    for name in ("", "../x.jpg", "\ud800.jpg"):
        few = {**content, "images": [image for image in content["images"] if image["file_name"] == name]}
        few["annotations"] = [a for a in content["annotations"] if a["image_id"] == few["images"][0]["id"]]
        few["annotations"] = [{**a, "category_id": 7} for a in few["annotations"]]
        (tmp_path / "a.json").write_text(json.dumps(few))
        (tmp_path / "in").mkdir(exist_ok=True)
        where = ("--images", tmp_path / "in", "--annotations", tmp_path / "a.json", "--output_dir", tmp_path / "o")
        sentence(capsys, main, "translate", "--model", model, *where, "--category", "cow", "--device", "cpu")
        assert not (tmp_path / "o").exists() or not files(tmp_path / "o")


def test_the_path_of_a_data_set_is_no_trick_either(world):
    _, root = world
    assert isinstance(root, Path) and "\n" in str(root)
    done = subprocess.run(
        [sys.executable, "train.py", "--dataroot", str(root / "none"), "--name", "x"], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and rb"\n\udcff&" in done.stderr


@pytest.mark.parametrize(
    "program, flags",
    [
        (train_program.main, ("--dataroot", "a" * 300)),
        (evaluate.main, ("--run", "a" * 300)),
        (main, ("translate", "--model", "a" * 300, "--image", "x.png", "--output", "y.png")),
        (check_data.main, ("--dataroot", "a" * 300)),
        (make_shapes.main, ("--save_root", "a" * 300)),
        (make_streets.main, ("--save_root", "a" * 300)),
        (measure_streets.main, ("--dataroot", "a" * 300)),
        (measure_styles.main, ("--results", "a" * 300, "--dataroot", "x")),
    ],
    ids=[
        "train",
        "evaluate",
        "translate",
        "check_data",
        "make_shapes",
        "make_streets",
        "measure_streets",
        "measure_styles",
    ],
)
def test_a_path_that_is_too_long_is_said(capsys, program, flags):
    assert "aaa... is too long for a path here; use a shorter one" in sentence(capsys, program, *flags)
