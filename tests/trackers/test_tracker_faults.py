"""Whatever happens to what watches a run - a full disk, a disk or a server that hangs, nonsense - is one warning."""

from __future__ import annotations

import http.server
import io
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from engine.run_folder import RunFolder
from engine.schedule import Progress
from tests.engine.test_resume import assert_equal
from tests.programs import ROOT, draw_set, tiny, train
from tests.trackers.silence import nothing_is_said_here
from trackers import Trackers
from trackers.background import Background
from trackers.console import Console
from trackers.visdom_window import VisdomWindow

FLAGS = ("--niter", "1", "--niter_decay", "0", "--name", "run", "--print_freq", "1", "--update_html_freq", "1")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return draw_set(tmp_path_factory.mktemp("data"), "train", a=(1, 2, 1, 1), b=(1, 1, 1, 1))


@pytest.fixture(scope="module")
def unwatched(data, tmp_path_factory) -> dict:
    """What a run without any tracker but the log ends with."""
    folder = tmp_path_factory.mktemp("unwatched")
    assert train(data, folder, *FLAGS, "--no_html") == 0
    return RunFolder(folder, "run").load("latest")


def assert_unharmed(checkpoints: Path, unwatched: dict) -> None:
    state = RunFolder(checkpoints, "run").load("latest")
    for part in ("networks", "optimizers", "pools", "progress"):
        assert_equal(state[part], unwatched[part])


def warnings_in(error: str) -> list[str]:
    assert "Traceback" not in error and "Error:" not in error, error
    return [line for line in error.splitlines() if line.startswith("warning: ")]


def full(*_, **__):
    raise OSError(28, "No space left on device")


# in a training


def test_a_full_disk_below_page_and_tensorboard_is_one_warning_each(data, unwatched, tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(Image.Image, "save", full)
    monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", full)
    assert train(data, tmp_path, *FLAGS, "--tensorboard", "--display_freq", "1") == 0
    warnings = warnings_in(capsys.readouterr().err)
    assert [warning.split()[1] for warning in sorted(warnings)] == ["TensorBoard", "WebPage"]
    assert all("No space left on device" in warning for warning in warnings)
    assert_unharmed(tmp_path, unwatched)


def test_a_page_that_cannot_be_opened_is_one_warning(data, unwatched, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "web").write_text("a file where the folder should be")
    assert train(data, tmp_path, *FLAGS) == 0
    (warning,) = warnings_in(capsys.readouterr().err)
    assert "the web page cannot be opened" in warning and "web" in warning
    assert_unharmed(tmp_path, unwatched)


def test_a_disk_that_hangs_below_the_page_holds_nothing_up(data, unwatched, tmp_path, monkeypatch, capsys):
    hanging = threading.Event()
    monkeypatch.setattr("trackers.web_page.replace_content", lambda *_: hanging.wait())
    monkeypatch.setattr("trackers.background.CLOSE_SECONDS", 0.2)
    monkeypatch.setattr("trackers.background.PENDING", 2)
    assert train(data, tmp_path, *FLAGS) == 0
    hanging.set()
    (warning,) = warnings_in(capsys.readouterr().err)
    assert "WebPage cannot keep up; training does not wait" in warning
    assert_unharmed(tmp_path, unwatched)


def test_a_loss_log_that_cannot_be_written_is_said_before_the_first_step(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("trackers.loss_log.LossLog.__init__", full)
    assert train(data, tmp_path, *FLAGS) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "loss_log.jsonl cannot be written (No space left on device)" in last


def test_a_terminal_that_goes_away_ends_no_run(data, unwatched, tmp_path):
    reader, writer = os.pipe()
    words = ["--dataroot", data, "--checkpoints_dir", tmp_path, *tiny(*FLAGS), "--no_html"]
    command = [sys.executable, str(ROOT / "train.py"), *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=writer)
    os.close(writer)
    os.close(reader)  # whatever is printed from here on has no reader
    assert process.wait(timeout=120) == 0
    assert_unharmed(tmp_path, unwatched)


def test_a_console_without_a_stream_is_quiet():
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    for stream in (Broken(), io.StringIO()):
        stream.close() if type(stream) is io.StringIO else None
        console = Console(total=10, epochs=1, stream=stream)
        console.losses(Progress(steps=1, pictures=1), {"G": 1.0}, {})
        console.message("unread")
        console.close()


# a thread for each


class Recorder:
    def __init__(self, error: Exception | None = None, gate: threading.Event | None = None) -> None:
        self.calls: list[str] = []
        self.error, self.gate = error, gate

    def _call(self, name: str) -> None:
        if self.gate:
            self.gate.wait()
        self.calls.append(name)
        if self.error:
            raise self.error

    def losses(self, *_):
        self._call("losses")

    def pictures(self, *_):
        self._call("pictures")

    def close(self):
        self._call("close")


def test_calls_arrive_in_their_order_and_close_waits_for_them():
    recorder = Recorder()
    background = Background(recorder, pytest.fail)
    for _ in range(5):
        background.losses(Progress(), {}, {})
        background.pictures(Progress(), {}, {})
    background.close()
    assert recorder.calls == ["losses", "pictures"] * 5 + ["close"]


def test_a_tracker_that_hangs_costs_nothing_and_is_told_of_once(monkeypatch):
    monkeypatch.setattr("trackers.background.CLOSE_SECONDS", 0.2)
    warnings, gate = [], threading.Event()
    background = Background(Recorder(gate=gate), warnings.append)
    began = time.perf_counter()
    for _ in range(1000):
        background.losses(Progress(), {}, {})
    background.close()
    assert time.perf_counter() - began < 20  # a call that waits for a fiftieth of a second takes as long
    gate.set()
    assert len(warnings) == 1 and "Recorder cannot keep up" in warnings[0]


def test_a_mistake_in_a_tracker_of_its_own_thread_is_not_hidden():
    background = Background(Recorder(ZeroDivisionError()), pytest.fail)
    background.losses(Progress(), {}, {})
    with pytest.raises(ZeroDivisionError):
        Trackers([background], print).close()


# servers


@contextmanager
def serving(answer):
    """A server on this machine that does this with every request; its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            answer(self)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def endless(request) -> None:
    request.send_response(200)
    request.end_headers()
    try:
        while True:
            request.wfile.write(b"x" * 4096)
    except OSError:
        return


def drops(request) -> None:
    """A byte now and then: no single wait is long."""
    request.send_response(200)
    request.send_header("Content-Length", "100000")
    request.end_headers()
    try:
        while True:
            request.wfile.write(b"x" * 1024)
            time.sleep(0.05)
    except OSError:
        return


def nonsense(request) -> None:
    request.wfile.write(b"\x00\xff nonsense\r\n\r\n")


def failing(request) -> None:
    request.send_error(500)


def elsewhere(request) -> None:
    request.send_response(302)
    request.send_header("Location", request.path)
    request.end_headers()


@pytest.mark.parametrize("answer", [endless, drops, nonsense, failing, elsewhere], ids=lambda one: one.__name__)
def test_a_server_that_answers_wrongly_is_one_warning_and_soon_left_alone(answer, monkeypatch):
    pytest.importorskip("visdom")
    monkeypatch.setattr("trackers.visdom_window.ANSWER_SECONDS", 0.5)
    warnings: list[str] = []
    with serving(answer) as port:
        view = VisdomWindow("http://localhost", port, "main", 1, 6, "run", warnings.append)
        with nothing_is_said_here():
            for step in range(1, 20):
                view.losses(Progress(1, step, step, step), {"G_A": 1.0}, {})
        view._thread.join(60)
        assert not view._thread.is_alive(), "the thread is still talking"
        view.close()
    assert len(warnings) == 1 and "Visdom" in warnings[0]


def test_a_server_that_never_answers_is_one_warning(monkeypatch):
    pytest.importorskip("visdom")
    monkeypatch.setattr("trackers.visdom_window.ANSWER_SECONDS", 0.3)
    warnings: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:  # the system accepts, nobody reads
        view = VisdomWindow("http://localhost", listening.getsockname()[1], "main", 1, 6, "run", warnings.append)
        for step in range(50):
            view.losses(Progress(1, step, step, step), {"G_A": 1.0}, {})
        view._thread.join(60)
        view.close()
    assert len(warnings) == 1
