"""Laws of the trackers that write files or to the terminal."""

import base64
import gc
import hashlib
import io
import json
import math
import os
import re
import weakref

import pytest
import torch
from dominate import tags

from engine.schedule import Progress
from instagan.structures.instances import InstanceBatch
from pages.charts import WIDTH, line_chart
from pages.curves import smoothed, thinned
from pages.gallery import GalleryRow, GallerySection, write_gallery
from pages.style import page, rendered
from pages.text import duration, link, number
from trackers import Trackers, loss_log
from trackers.console import Console
from trackers.history import MOST, LossHistory
from trackers.loss_log import FACTS, LossLog
from trackers.sample_store import MOST_SAMPLES
from trackers.web_page import WebPage


def at(step: int) -> Progress:
    return Progress(epoch=1 + step // 10, in_epoch=3 * (step % 10), steps=step, pictures=3 * step)


def batch(rows: int, slots: int = 2, size: int = 8) -> InstanceBatch:
    masks = torch.full((rows, slots, size, size), -1.0)
    if slots:
        masks[:, 0, 2:5, 2:5] = 1.0
    return InstanceBatch.from_masks(torch.zeros(rows, 3, size, size), masks)


def open_page(folder, start=None, **more) -> WebPage:
    return WebPage(folder, "run", {"lr": 0.1, "name": "run"}, {"name"}, start or Progress(), **more)


# loss_log.jsonl


def test_log_keeps_every_number_under_its_own_name(tmp_path):
    log = LossLog(tmp_path / "deep" / "loss_log.jsonl")
    log.losses(at(4), {"D_A": 0.1 + 0.2, "G_A": 2}, {"lr": 2e-4})
    log.losses(at(5), {"own": math.nan, "more": math.inf}, {"lr": 1e-4})
    log.close()
    assert loss_log.read(tmp_path / "deep" / "loss_log.jsonl") == [
        {"step": 4, "epoch": 1, "pictures": 12, "D_A": 0.1 + 0.2, "G_A": 2.0, "lr": 2e-4},
        {"step": 5, "epoch": 1, "pictures": 15, "own": None, "more": None, "lr": 1e-4},
    ]


def test_log_names_never_collide(tmp_path):
    log = LossLog(tmp_path / "log")
    log.losses(at(4), {"step": 0.5, "lr": 0.25}, {"lr": 2e-4})
    line = loss_log.read(tmp_path / "log")[0]
    assert (line["step"], line["loss_step"], line["lr"], line["loss_lr"]) == (4, 0.5, 2e-4, 0.25)


def test_log_is_on_disk_after_every_line_and_is_strict_json(tmp_path):
    log = LossLog(tmp_path / "log")
    for step in range(3):
        log.losses(at(step), {"G": math.nan}, {})
        lines = (tmp_path / "log").read_text().splitlines()
        assert len(lines) == step + 1
        json.loads(lines[-1], parse_constant=lambda word: pytest.fail(f"{word} is no json"))


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_log_survives_a_line_that_was_cut_short(tmp_path, cut):
    path = tmp_path / "log"
    log = LossLog(path)
    for step in (1, 2):
        log.losses(at(step), {"G": 1.0}, {})
    log.close()
    path.write_bytes(path.read_bytes()[:-cut])
    assert [line["step"] for line in loss_log.read(path)] == ([1] if cut > 1 else [1, 2])
    again = LossLog(path)
    again.losses(at(3), {"G": 1.0}, {})
    assert [line["step"] for line in loss_log.read(path)][-1] == 3
    assert len(loss_log.read(path)) == (2 if cut > 1 else 3)


def test_resume_drops_what_was_logged_after_the_checkpoint(tmp_path):
    path = tmp_path / "log"
    log = LossLog(path)
    for step in range(1, 8):
        log.losses(at(step), {"G": step / 3}, {})
    log.close()
    before = path.read_bytes().splitlines()
    path.write_bytes(path.read_bytes() + b'{"step": 8, "ep')
    loss_log.drop_after(path, 4)
    assert path.read_bytes().splitlines() == before[:4]
    assert os.listdir(tmp_path) == ["log"]


def test_a_missing_log_is_an_empty_one(tmp_path):
    loss_log.drop_after(tmp_path / "none", 3)
    assert loss_log.read(tmp_path / "none") == [] and not (tmp_path / "none").exists()


# all trackers as one


class Recorder:
    def __init__(self, error=None):
        self.calls, self.error = [], error

    def _call(self, *call):
        self.calls.append(call)
        if self.error:
            raise self.error

    def losses(self, *args):
        self._call("losses", *args)

    def pictures(self, *args):
        self._call("pictures", *args)

    def close(self):
        self._call("close")


def test_a_tracker_that_cannot_write_warns_once_and_stops_nobody():
    full, fine, warnings = Recorder(OSError(28, "No space left on device")), Recorder(), []
    trackers = Trackers([full, fine], warnings.append)
    trackers.losses(at(1), {}, {})
    trackers.pictures(at(1), {}, {})
    trackers.close()
    assert [call[0] for call in full.calls] == [call[0] for call in fine.calls] == ["losses", "pictures", "close"]
    assert len(warnings) == 1 and "Recorder" in warnings[0] and "No space left" in warnings[0]


def test_a_mistake_in_a_tracker_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        Trackers([Recorder(ZeroDivisionError())], print).losses(at(1), {}, {})


# curves


def test_history_of_a_long_run_is_bounded_and_keeps_both_ends():
    history = LossHistory()
    for step in range(3 * MOST):
        history.add(at(step), {"G": 1.0, **({"rare": 2.0} if step % 5 == 0 else {})}, {})
    for name, points in history.series().items():
        assert len(points) <= MOST, name
        assert points[0][0] < 20 and points[-1][0] >= 3 * MOST - 10
        assert {value for _, value in points} == {1.0 if name == "G" else 2.0}


def test_history_continues_a_log_and_facts_are_no_losses(tmp_path):
    log = LossLog(tmp_path / "log")
    whole = LossHistory()
    for step in range(1, 7):
        losses = {"any name": step / 7, "sometimes": math.nan if step == 2 else 1.0}
        log.losses(at(step), losses, {"lr": 0.1})
        whole.add(at(step), losses, {"lr": 0.1})
    resumed = LossHistory(loss_log.read(tmp_path / "log"))
    losses = {"any name": 1.0, "sometimes": 1.0}
    for history in (whole, resumed):
        history.add(at(7), losses, {"lr": 0.1})
    assert repr(resumed.series()) == repr(whole.series())
    assert set(resumed.series()) == {"any name", "sometimes"}


def test_thinning_keeps_ends_peaks_and_the_bound():
    points = [(step, 1.0) for step in range(5000)]
    points[1234], points[4000] = (1234, 99.0), (4000, -99.0)
    thin = thinned(points, 400)
    assert len(thin) <= 400 and thin[0] == points[0] and thin[-1] == points[-1]
    assert (1234, 99.0) in thin and (4000, -99.0) in thin
    assert thin == sorted(thin) and thinned(points[:400], 400) == points[:400]


def test_smoothing_keeps_a_constant_and_passes_over_gaps():
    constant = [(step, 3.0) for step in range(50)]
    assert [value for _, value in smoothed(constant, 10)] == pytest.approx([3.0] * 50)
    broken = [(0, math.nan), (1, 4.0), (2, math.nan), (3, 4.0)]
    values = [value for _, value in smoothed(broken, 5)]
    assert math.isnan(values[0]) and values[1:] == pytest.approx([4.0, 4.0, 4.0])
    noisy = [(step, (-1.0) ** step) for step in range(200)]
    assert max(abs(value) for _, value in smoothed(noisy, 40)[100:]) < 0.1


@pytest.mark.parametrize(
    "values", [[], [1.0], [2.0, 2.0, 2.0], [math.nan] * 3, [0.0, 1e-12], [1.0, math.inf], [-5.0, 1e9], [1e-30, 2e-30]]
)
def test_a_chart_can_be_drawn_of_any_values(values):
    text = line_chart("loss", {"<b>&": list(enumerate(values))}, "step", "loss").render()
    assert "nan" not in text and "inf" not in text and "<b>&" not in text and "&lt;b&gt;&amp;" in text


@pytest.mark.parametrize("last", [6, 99, 600, 9_000, 12_500, 600_000, 2_000_000])
def test_labels_of_the_axes_lie_within_the_chart(last):
    points = [(step, 1.0) for step in (0, last // 2, last)]
    drawing = line_chart("loss", {"G_A": points}, "step", "loss").render()
    labels = re.findall(r'<text text-anchor="middle" x="([\d.]+)"[^>]*>([^<]+)</text>', drawing)
    assert len(labels) >= 3
    for x, words in labels:
        half = 0.58 * 11 * len(words) / 2  # 11: the font's size; its digits are 0.58 of that wide
        assert half <= float(x) <= WIDTH - half, words


# web/index.html


def test_page_is_written_by_pictures_and_close_and_refreshes_itself_only_while_running(tmp_path):
    page, index = open_page(tmp_path), tmp_path / "index.html"
    page.losses(at(1), {"G_A": 1.0}, {"lr": 0.1})
    assert not index.exists(), "losses must stay cheap"
    page.pictures(at(2), {"A": {"real_A": batch(3), "fake_B": batch(3)}}, {"A": ("x.png", "y.png", "z.png")})
    assert 'http-equiv="refresh"' in index.read_text()
    page.close()
    assert 'http-equiv="refresh"' not in index.read_text() and "<script" not in index.read_text()
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]


def test_page_shows_every_row_with_and_without_masks_newest_first(tmp_path):
    page = open_page(tmp_path)
    for step in (10, 20):
        pictures = {"A": {"real_A": batch(2), "fake_B": batch(2)}, "B": {"real_B": batch(1)}}
        page.pictures(at(step), pictures, {"A": (f"a{step}.png", "b.png"), "B": ("c.png",)})
    text = (tmp_path / "index.html").read_text()
    assert text.count("<img") == 2 * (2 * 2 * 2 + 2)
    assert text.index("a20.png") < text.index("a10.png") and "step 20" in text and "Epoch 3" in text


def test_pictures_without_slots_have_no_line_of_instances(tmp_path):
    open_page(tmp_path).pictures(at(1), {"A": {"real_A": batch(2, slots=0)}}, {"A": ("x.png", "y.png")})
    text = (tmp_path / "index.html").read_text()
    assert text.count("<img") == 2 and "instances" not in text.split("</style>")[1]


def test_resumed_page_continues_and_forgets_what_came_after_the_checkpoint(tmp_path):
    first = open_page(tmp_path)
    for step in (10, 20, 30):
        first.pictures(at(step), {"A": {"real_A": batch(1)}}, {"A": (f"at{step}.png",)})
    resumed = open_page(tmp_path, at(20), history=[{"step": 10, "G_A": 1.0}, {"step": 20, "G_A": 2.0}])
    resumed.pictures(at(40), {"A": {"real_A": batch(1)}}, {"A": ("at40.png",)})
    text = (tmp_path / "index.html").read_text()
    assert [name in text for name in ("at10.png", "at20.png", "at30.png", "at40.png")] == [True, True, False, True]
    assert "G_A" in text
    assert len(os.listdir(tmp_path / "images")) == 3 * 2


def test_a_new_run_in_an_old_folder_starts_an_empty_page(tmp_path):
    open_page(tmp_path).pictures(at(10), {"A": {"real_A": batch(1)}}, {"A": ("old.png",)})
    open_page(tmp_path).close()
    assert "old.png" not in (tmp_path / "index.html").read_text() and os.listdir(tmp_path / "images") == []


@pytest.mark.parametrize("damage", [b"", b"[{", b"[1]", b'{"a": 1}', b'[{"step": 1, "tiles": []}]', b"null"])
def test_a_damaged_index_of_pictures_does_not_stop_a_run(tmp_path, damage):
    (tmp_path / "pictures.json").write_bytes(damage)
    page = open_page(tmp_path, at(5))
    page.pictures(at(6), {"A": {"real_A": batch(1)}}, {"A": ("x.png",)})
    assert (tmp_path / "index.html").read_text().count("<img") == 2


def test_page_and_folder_stay_bounded_in_a_long_run(tmp_path):
    page = open_page(tmp_path)
    sizes = []
    for step in range(1, 2 * MOST_SAMPLES + 1):
        page.losses(at(step), {name: 1.0 / step for name in ("D_A", "G_A", "cyc_A")}, {"lr": 0.1})
        page.pictures(at(step), {"A": {"real_A": batch(1)}}, {"A": ("x.png",)})
        sizes.append((tmp_path / "index.html").stat().st_size)
    assert len(os.listdir(tmp_path / "images")) == 2 * MOST_SAMPLES
    for step in range(10_000, 40_000, 2):
        page.losses(at(step), {name: 1.0 / step for name in ("D_A", "G_A", "cyc_A")}, {"lr": 0.1})
    page.close()
    assert (tmp_path / "index.html").stat().st_size < sizes[MOST_SAMPLES] + 3 * 2 * 400 * 16


def test_nothing_that_a_user_names_becomes_a_file_name_or_markup(tmp_path):
    name = "<script>alert(1)</script>\n\"'#%41.png"
    page = WebPage(tmp_path / "web", f"{name}", {name: name}, {name}, Progress())
    page.losses(at(1), {name: 1.0}, {name + "fact": 1.0})
    page.pictures(at(1), {"../../A": {"../real": batch(1)}}, {"../../A": (f"/data/{name}",)})
    text = (tmp_path / "web" / "index.html").read_text()
    assert "<script" not in text and os.listdir(tmp_path) == ["web"]
    assert all(set(file) <= set("0123456789_-.realmskpngA") for file in os.listdir(tmp_path / "web" / "images"))


# gallery


def test_gallery_shows_all_columns_of_both_directions_escaped(tmp_path):
    hostile = 'a"b<script>#%41\n.png'
    sections = [
        GallerySection("A to B", ["real_A", "fake_B"], [GalleryRow(hostile, {"real_A": hostile, "fake_B": "y.png"})]),
        GallerySection("B to A", ["real_B"], [GalleryRow("second", {"real_B": "javascript:alert(1).png"})]),
        GallerySection("nothing", ["real_B"], []),
    ]
    path = write_gallery(tmp_path, "<title>", sections, {"Epoch": 3})
    text = path.read_text()
    assert path == tmp_path / "index.html" and text.count("<img") == text.count('loading="lazy"') == 3
    assert text.count("<script") == 1 and '"javascript:' not in text and "%22b%3Cscript%3E%23%2541%0A.png" in text


def test_gallery_folds_masks_and_leaves_out_columns_that_no_row_has(tmp_path):
    rows = [GalleryRow("a", {"real_A": "a.png", "real_A_mask": "am.png"}), GalleryRow("b", {"real_A": "b.png"})]
    section = GallerySection("A to B", ["real_A", "rec_A"], rows, folded=["real_A_mask", "rec_A_mask"])
    text = write_gallery(tmp_path, "no way back", [section], {}).read_text()
    shown, folded = text.index('href="a.png"'), text.index('href="am.png"')
    assert shown < text.index("<details") < folded < text.index("</details>")
    assert text.count("<details") == 1 and "rec A" not in text and text.count("--columns: 1") == 3


def test_only_the_gallerys_own_script_may_run(tmp_path):
    text = write_gallery(tmp_path, "<script>x</script>", [], {}).read_text()
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src * data: file:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in text


# small words


def test_links_lead_to_files_beside_the_page():
    assert link("a b#?%.png") == "a%20b%23%3F%25.png" and link("images/x.png") == "images/x.png"
    assert ":" not in link("javascript:x")


def test_durations_and_numbers_are_short():
    assert [duration(s) for s in (0, 59.9, 63, 7500, 90000)] == ["0 s", "59 s", "1 min 03 s", "2 h 05 min", "1 d 01 h"]
    assert number(math.nan) == number(math.inf) == "\N{EN DASH}"
    assert (number(150000.0), number(0.00020000001), number(0.0)) == ("150,000", "0.0002", "0")


# terminal


def test_console_floods_no_log_file():
    stream = io.StringIO()
    console = Console(total=5000, epochs=2, stream=stream)
    progress = Progress()
    for step in range(5000):
        progress = progress.after_batch(1)
        console.advance(progress)
        if step % 100 == 0:
            console.losses(progress, {"D_A": 0.25}, {"lr": 0.1})
    console.message("saved")
    console.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) < 10 and "\r" not in stream.getvalue()
    assert any("5000/5000" in line and "D_A 0.25" in line and "epoch 1/2" in line for line in lines)
    assert "saved" in lines


def test_console_on_a_terminal_counts_pictures_from_where_a_run_resumed():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    console = Console(total=100, done=40, stream=stream)
    console.losses(Progress(epoch=2, steps=50, pictures=50), {"G": 1.0}, {})
    console.message("a line of its own")
    console.close()
    assert "40/100" in stream.getvalue() and "50/100" in stream.getvalue()
    assert "a line of its own\n" in stream.getvalue()


def test_tensorboard_holds_losses_and_pictures(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from trackers.tensorboard import TensorBoard

    board = TensorBoard(tmp_path, Progress())
    board.losses(at(3), {"G_A": 0.5}, {"lr": 0.25})
    board.pictures(at(3), {"A": {"real_A": batch(2)}}, {"A": ("x.png", "y.png")})
    board.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("losses/G_A")] == [(3, 0.5)]
    assert set(events.Tags()["images"]) == {f"from_A_{row}/real_A{kind}" for row in (0, 1) for kind in ("", "_masks")}


def test_tensorboard_missing_is_one_sentence(tmp_path, monkeypatch):
    import sys

    from instagan.errors import InputError
    from trackers.tensorboard import TensorBoard

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        TensorBoard(tmp_path, Progress())


def test_curves_of_a_resumed_run_hold_losses_only():
    """Before the first step of the new session is logged, too."""
    line = {"step": 5, "epoch": 1, "pictures": 20, **dict.fromkeys((*FACTS, "lr_D", "lr_content"), 0.1), "cyc_A": 3.0}
    assert LossHistory([line]).series() == {"cyc_A": [(5, 3.0)]}


def test_a_rendered_page_is_freed_at_once():
    whole = page("run")
    card = tags.div(tags.span("of a chart"))
    whole.body.add(tags.main(card))
    gone = weakref.ref(card)
    del card
    gc.disable()
    try:
        assert b"of a chart" in rendered(whole)
        assert gone() is None
    finally:
        gc.enable()
