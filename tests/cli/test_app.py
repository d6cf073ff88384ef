"""What the web page does, without a browser: drawings to masks, orders to answers, and what is refused."""

import os
import re
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from instagan import InputError, Translator
from instagan.cli.main import main
from instagan.cli.web.drawing import canvas_picture, filled, painted
from instagan.cli.web.handling import DRAWN, FOUND, KEPT_SECONDS, UPLOADED, Desk, Order
from instagan.cli.web.serving import prepared
from tests.programs import draw_picture, sentence
from tests.using import tiny_run

SQUARE = [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75], [0.25, 0.25]]


def stroke(points, instance=0, width=0.02):
    return {"instance": instance, "width": width, "points": points}


@pytest.mark.parametrize("size", [(200, 100), (64, 64), (30, 90)])
def test_an_outline_becomes_the_area_that_it_encloses(size):
    (mask,) = painted([stroke(SQUARE)], size, fill=True)
    (line,) = painted([stroke(SQUARE)], size, fill=False)
    assert mask.shape == line.shape == size[::-1] and (mask | ~line).all()
    inner = mask[int(0.3 * size[1]) : int(0.7 * size[1]), int(0.3 * size[0]) : int(0.7 * size[0])]
    assert inner.all() and line.mean() < mask.mean()
    edge = 2 * 0.02 * max(size) / min(size) + 4 / min(size)  # half a brush on each side, and rounding
    assert 0.25 <= mask.mean() <= (0.5 + edge) ** 2
    assert not mask[: int(0.2 * size[1]) - 2].any()


def test_each_instance_has_a_mask_and_strokes_of_one_join():
    left, right = [[0.1, 0.5]], [[0.9, 0.5], [0.9, 0.6]]
    masks = painted([stroke(left, 3), stroke(right, 1), stroke([[0.1, 0.9]], 3)], (100, 50), fill=True)
    assert len(masks) == 2
    assert masks[0][25:30, 88:92].any() and not masks[0][:, :50].any()  # number 1 is first
    assert masks[1][20:30, 8:12].any() and masks[1][40:48, 8:12].any() and not masks[1][:, 50:].any()


def test_filling_keeps_what_is_open_and_reaches_round_corners():
    spiral = np.ones((9, 9), bool)
    spiral[1, 1:] = spiral[1:8, 1] = spiral[7, 1:8] = spiral[3:8, 7] = spiral[3, 3:8] = spiral[3:6, 3] = False
    assert (filled(spiral) == spiral).all()  # open to the right: nothing is enclosed
    spiral[1, 8] = True
    assert filled(spiral).all()
    assert not filled(np.zeros((5, 5), bool)).any()


@pytest.mark.parametrize(
    "strokes, reason",
    [
        ("text", "cannot be read"),
        ([{"instance": 0}], "cannot be read"),
        ([stroke([[0.1]])], "cannot be read"),
        ([stroke([[0.1, "x"]])], "cannot be read"),
        ([stroke([[0.1, 1e9]])], "too large"),
        ([stroke([[0.1, float("nan")]])], "too large"),
        ([stroke([[0.1, 0.1]], width=50)], "too large"),
    ],
)
def test_what_is_no_drawing_is_refused(strokes, reason):
    with pytest.raises(InputError, match=reason):
        painted(strokes, (10, 10), fill=True)


@pytest.mark.parametrize("size, longest", [((64, 32), 512), ((700, 600), 700), ((4000, 100), 1280), ((5000, 1), 1280)])
def test_pictures_are_shown_at_a_size_to_paint_on(size, longest):
    import base64
    import io

    address = canvas_picture(Image.new("RGB", size))
    shown = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    assert max(shown.size) == longest


@pytest.fixture(scope="module")
def translators(tmp_path_factory):
    run, _ = tiny_run(tmp_path_factory.mktemp("checkpoints"))
    return {to: Translator.load(run.path, to=to, device="cpu") for to in "ba"}


@pytest.fixture
def desk(translators, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "in" / "my photo.png")
    for number in range(2):
        mask = np.zeros((40, 50), np.uint8)
        mask[5 : 20 + number, 20 * number : 20 * number + 15] = 255
        Image.fromarray(mask).save(tmp_path / "in" / f"m{number}.png")
    return Desk(translators, None, 100 * 100, tmp_path / "results")


def order(folder, **changes):
    usual = {
        "picture": folder / "in" / "my photo.png",
        "origin": UPLOADED,
        "strokes": [],
        "fill": True,
        "masks": [folder / "in" / f"m{number}.png" for number in range(2)],
        "to": "b",
        "ins_per": 1,
    }
    return Order(**{**usual, **changes})


@pytest.mark.parametrize("to", ["a", "b"])
def test_the_answer_is_the_translators(desk, translators, tmp_path, to):
    shown = desk.translate(order(tmp_path, to=to))
    asked = order(tmp_path)
    out = translators[to](asked.picture, asked.masks, ins_per=1)
    assert (np.asarray(shown.translated) == np.asarray(out.picture)).all()
    assert (np.asarray(Image.open(shown.file)) == np.asarray(out.picture)).all()
    assert shown.file.name == f"my_photo_to_{to}.png" and shown.told.startswith("2 of 2 instances translated in ")
    with zipfile.ZipFile(shown.archive) as archive:
        assert archive.namelist() == [f"my_photo_to_{to}{rest}.png" for rest in ("", "_mask_0", "_mask_1")]
        for place, mask in enumerate(out.masks):
            with archive.open(f"my_photo_to_{to}_mask_{place}.png") as file:
                assert (np.asarray(Image.open(file)) == np.asarray(mask)).all()
    coloured = np.asarray(shown.masks).any(2)
    assert (coloured == out.inside.any(0)).all() and shown.source.size == shown.source_overlay.size == (50, 40)
    assert (np.asarray(shown.source_overlay) != np.asarray(shown.source)).any()


def test_options_are_those_of_the_translator(desk, translators, tmp_path):
    asked = order(tmp_path)
    for options in (
        {"paste_background": True}, {"crop_instances": True}, {"max_side": 32},
        {"paste_background": True, "crop_instances": True, "max_side": 16},
    ):  # fmt: skip
        shown = desk.translate(order(tmp_path, **options))
        out = translators["b"](asked.picture, asked.masks, ins_per=1, **options)
        assert (np.asarray(shown.translated) == np.asarray(out.picture)).all() and out.seam is not None
        assert f"the faded edge is {out.seam.band:.1f} of 255 levels off" in shown.told
    with pytest.raises(InputError, match="max_side=3 must be a whole number of 8 or more"):
        desk.translate(order(tmp_path, max_side=3))


def test_a_drawing_and_a_detector_give_masks_as_well(desk, translators, tmp_path):
    drawn = desk.translate(order(tmp_path, origin=DRAWN, strokes=[stroke(SQUARE)]))
    (mask,) = painted([stroke(SQUARE)], (50, 40), fill=True)
    wanted = translators["b"](tmp_path / "in" / "my photo.png", [mask], ins_per=1).picture
    assert (np.asarray(drawn.translated) == np.asarray(wanted)).all()
    finding = Desk(translators, lambda picture: [mask] if picture.size == (50, 40) else [], 10_000, desk.results)
    found = finding.translate(order(tmp_path, origin=FOUND))
    assert (np.asarray(found.translated) == np.asarray(wanted)).all()
    nothing = Desk(translators, lambda picture: [], 10_000, desk.results)
    with pytest.raises(InputError, match="found nothing"):
        nothing.translate(order(tmp_path, origin=FOUND))


def test_what_cannot_be_translated_is_a_sentence_without_paths(desk, tmp_path):
    (tmp_path / "in" / "page.jpg").write_text("<html>" * 100)
    Image.new("L", (9, 9), 255).save(tmp_path / "in" / "small.png")
    Image.new("L", (101, 100)).save(tmp_path / "in" / "large.png")
    files = {name: tmp_path / "in" / name for name in ("page.jpg", "small.png", "large.png")}
    cases = [
        ({"picture": None}, "no image yet"),
        ({"picture": files["page.jpg"]}, "page.jpg cannot be read as a picture"),
        ({"picture": files["large.png"]}, "large.png is too large with 101 x 100 pixels: at most 0.01 megapixels"),
        ({"masks": []}, "upload a file for each instance"),
        ({"masks": [files["page.jpg"]]}, "page.jpg cannot be read"),
        ({"masks": [files["small.png"]]}, "small.png is 9x9 pixels and the image 50x40"),
        ({"masks": [files["small.png"]] * 101}, "101 masks are too many"),
        ({"origin": DRAWN}, "Nothing is drawn"),
        ({"to": "c"}, "does not translate to c"),
        ({"picture": tmp_path / "in" / "gone.png"}, "gone.png: the file is gone"),
    ]
    for changes, reason in cases:
        with pytest.raises(InputError) as caught:
            desk.translate(order(tmp_path, **changes))
        assert reason in str(caught.value) and str(tmp_path) not in str(caught.value)
    assert list(desk.results.iterdir()) == []


def test_old_results_go_and_the_folder_ends_with_the_page(translators, tmp_path, desk):
    kept, old = desk.translate(order(tmp_path)).file, desk.translate(order(tmp_path)).file
    past = time.time() - KEPT_SECONDS - 60
    os.utime(old.parent, (past, past))
    desk.translate(order(tmp_path))
    assert kept.is_file() and not old.exists()
    limit = Image.MAX_IMAGE_PIXELS
    with prepared(1000) as results:
        assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False" and os.environ["GRADIO_TEMP_DIR"] in str(results)
        Image.new("L", (40, 40)).save(results / "large.png")
        with pytest.raises(Image.DecompressionBombError):
            Image.open(results / "large.png")
        with pytest.raises(InputError, match="large.png is too large: at most 0.001 megapixels"):
            Desk(translators, None, 1000, results).canvas(results / "large.png")
    assert not results.exists() and limit == Image.MAX_IMAGE_PIXELS and "GRADIO_TEMP_DIR" not in os.environ


def test_wrong_flags_are_one_sentence(tmp_path, capsys, monkeypatch):
    run, _ = tiny_run(tmp_path, "run")
    model = ("app", "--model", run.path)
    assert "--category is missing" in sentence(capsys, main, *model, "--detector")
    assert "--weights belongs to --detector" in sentence(capsys, main, *model, "--weights", "x.pth")
    assert "--port 70000 is too high" in sentence(capsys, main, *model, "--port", "70000")
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    assert "pip install gradio" in sentence(capsys, main, *model)


def test_nothing_is_said_of_masks_where_a_model_has_none(tmp_path, capsys):
    run = tiny_run(tmp_path / "runs", "run", "--model", "cycle_gan")[0].path
    draw_picture(tmp_path / "in" / "in" / "photo.png", 0, (64, 48), seed=0)
    (tmp_path / "results").mkdir()
    desk = Desk({"b": Translator.load(run, device="cpu")}, None, 100 * 100, tmp_path / "results")
    shown = desk.translate(Order(tmp_path / "in/in/photo.png", DRAWN, [], True, [], "b", 1))
    assert re.fullmatch(r"Translated in [0-9.]+ s\.", shown.told)
    pytest.importorskip("gradio")
    flags = ("app", "--model", str(run), "--device", "cpu", "--detector", "--category", "sheep")
    assert "translates images without any; drop it" in sentence(capsys, main, *flags)
