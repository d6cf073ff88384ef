"""A real Visdom server is started, sent to, asked what it shows, frozen and killed; training never waits for it."""

import http.server
import importlib.util
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from engine.schedule import Progress
from instagan.structures.instances import InstanceBatch
from tests.trackers.silence import nothing_is_said_here
from trackers.visdom_window import VisdomWindow

SCRIPT = Path(__file__).parents[2] / "scripts" / "visdom_server.py"
visdom = pytest.importorskip("visdom", reason="visdom is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(folder: Path) -> tuple[subprocess.Popen, int]:
    """A server as a process of its own, without any way to the internet, and its port once it answers."""
    port = free_port()
    nowhere = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    command = [sys.executable, str(SCRIPT), "--port", str(port), "--env_path", str(folder)]
    server = subprocess.Popen(command, env={**os.environ, **nowhere}, stdout=subprocess.PIPE, text=True)
    line = server.stdout.readline()
    assert f"http://127.0.0.1:{port}" in line, line
    return server, port


def stop(server: subprocess.Popen) -> None:
    server.kill()
    server.wait()
    server.stdout.close()


@pytest.fixture
def served(tmp_path):
    server, port = start(tmp_path / "env")
    yield server, port
    stop(server)


def window(port: int, warnings: list, **more) -> VisdomWindow:
    settings = {"server": "http://localhost", "env": "main", "display_id": 7, "ncols": 2, "name": "run", **more}
    return VisdomWindow(port=port, warn=warnings.append, **settings)


def client(port: int) -> visdom.Visdom:
    return visdom.Visdom(server="http://localhost", port=port, use_incoming_socket=False, raise_exceptions=True)


def shown(port: int, win: str) -> dict:
    """What the server has in a window, asked through Visdom's own client as soon as the window is there."""
    deadline = time.monotonic() + 120
    while not client(port).win_exists(win):
        assert time.monotonic() < deadline, f"window {win} was never shown"
        time.sleep(0.05)
    return json.loads(client(port).get_window_data(win))


def at(step: int) -> Progress:
    return Progress(1, step, step, step)


def pictures(rows: int = 3, slots: int = 2, size: int = 16) -> dict:
    masks = torch.full((rows, slots, size, size), -1.0)
    masks[:, :1, 2:9, 2:9] = 1.0
    batch = InstanceBatch.from_masks(torch.zeros(rows, 3, size, size), masks)
    return {"A": {"real_A": batch, "fake_B": batch}}


PATHS = {"A": ("x.png", "y.png", "z.png")}


def some_steps(view: VisdomWindow, count: int = 60) -> None:
    with nothing_is_said_here():
        for step in range(1, count + 1):
            view.losses(at(step), {"G_A": 1.0 / step}, {"lr": 0.1})
            view.pictures(at(step), pictures(), PATHS)
            time.sleep(0.01)


def closing_time(view: VisdomWindow) -> float:
    """In seconds; two are what it waits at the most."""
    began = time.perf_counter()
    view.close()
    return time.perf_counter() - began


def test_talking_in_the_thread_of_training_is_noticed():
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(AssertionError), nothing_is_said_here():
        socket.create_connection(server.getsockname()).close()


def test_losses_are_one_plot_with_a_curve_for_each_name(served):
    warnings = []
    view = window(served[1], warnings, history=[{"step": 1, "epoch": 1, "pictures": 1, "D_A": 9.0, "lr": 0.1}])
    for step in (2, 3, 4):
        losses = {"D_A": step / 2, "any": math.nan if step == 3 else 1.0} | ({"rare": 5.0} if step != 3 else {})
        view.losses(at(step), losses, {"lr": 0.1})
    view.close()
    plot = shown(served[1], "7")
    curves = {curve["name"]: (curve["x"], curve["y"]) for curve in plot["content"]["data"]}
    assert curves == {
        "D_A": ([1, 2, 3, 4], [9.0, 1.0, 1.5, 2.0]),
        "any": ([2, 3, 4], [1.0, None, 1.0]),
        "rare": ([2, 4], [5.0, 5.0]),
    }
    assert plot["content"]["layout"]["showlegend"] is True and warnings == []


def test_figures_of_validation_pictures_have_a_plot_of_their_own(served):
    warnings: list[str] = []
    view = window(served[1], warnings)
    view.losses(at(1), {"D_A": 1.0}, {})
    view.losses(at(2), {"val_psnr_A": 30.0}, {})
    figures, losses = shown(served[1], "10"), shown(served[1], "7")
    view.close()
    assert [curve["name"] for curve in figures["content"]["data"]] == ["val_psnr_A"]
    assert [curve["name"] for curve in losses["content"]["data"]] == ["D_A"] and warnings == []


@pytest.mark.parametrize("slots", [2, 0])
def test_pictures_and_instances_are_grids(served, slots):
    warnings = []
    view = window(served[1], warnings)
    view.pictures(at(5), pictures(slots=slots), PATHS)
    view.close()
    plain, drawn = shown(served[1], "8"), shown(served[1], "9")
    assert warnings == [] and plain["type"] == drawn["type"] == "image"
    assert "step 5" in plain["title"] and plain["title"].endswith("real_A fake_B")
    assert (plain["content"]["src"] != drawn["content"]["src"]) == (slots > 0)


def test_no_server_is_one_warning_and_costs_nothing():
    warnings = []
    view = window(free_port(), warnings)
    some_steps(view)
    assert closing_time(view) < 10
    assert len(warnings) == 1 and "Visdom" in warnings[0] and "python -m visdom.server" in warnings[0]


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGSTOP])
def test_a_server_that_dies_or_freezes_in_mid_run_does_not_slow_training(tmp_path, way, monkeypatch):
    monkeypatch.setattr("trackers.visdom_window.ANSWER_SECONDS", 0.3)
    server, port = start(tmp_path / "env")
    try:
        warnings = []
        view = window(port, warnings)
        view.losses(at(1), {"G_A": 1.0}, {})
        assert shown(port, "7")["content"]["data"][0]["name"] == "G_A"
        server.send_signal(way)
        some_steps(view)
        assert closing_time(view) < 10
        assert len(warnings) == 1
    finally:
        stop(server)


def test_visdoms_client_prints_nothing(served):
    program = (
        "import sys; from trackers.visdom_window import VisdomWindow; from engine.schedule import Progress\n"
        "for port in map(int, sys.argv[1:]):\n"
        "    view = VisdomWindow('http://localhost', port, 'main', 1, 6, 'run', lambda text: None)\n"
        "    view.losses(Progress(), {'G': 1.0}, {}); view._thread.join(3); view.close()\n"
    )
    command = [sys.executable, "-c", program, str(served[1]), str(free_port())]
    said = subprocess.run(command, cwd=SCRIPT.parent.parent, capture_output=True, text=True, timeout=120)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
    assert shown(served[1], "1")["content"]["data"][0]["name"] == "G"


def test_another_kind_of_server_is_one_warning(tmp_path):
    class Hello(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        warnings = []
        view = window(other.server_address[1], warnings)
        some_steps(view)
        view.close()
        other.shutdown()
    assert len(warnings) == 1 and "no Visdom server" in warnings[0]


def test_visdom_not_installed_is_one_warning(monkeypatch):
    real = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *a: None if name == "visdom" else real(name, *a))
    warnings = []
    view = window(free_port(), warnings)
    view.losses(at(1), {"G_A": 1.0}, {})
    view.close()
    assert len(warnings) == 1 and "not installed" in warnings[0]


def test_server_listens_on_this_machine_only(served):
    assert client(served[1]).win_exists("none") is False
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", served[1]))  # taken if the server listened on every address


def test_a_taken_port_is_one_sentence(served, tmp_path):
    command = [sys.executable, str(SCRIPT), "--port", str(served[1]), "--env_path", str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 2 and answer.stderr.startswith("error: ") and answer.stderr.count("\n") == 1


def test_an_env_path_that_cannot_be_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    for env_path in (tmp_path / "file" / "env", tmp_path / ("a" * 300)):
        command = [sys.executable, str(SCRIPT), "--port", "1", "--env_path", str(env_path)]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert answer.returncode == 2 and answer.stderr.count("\n") == 1
        assert answer.stderr.startswith(f"error: --env_path {str(env_path)[:80]}")


NO_WINDOW_COVERS_ANOTHER = """
    const boxes = [...document.querySelectorAll('.react-grid-item')].map(e => e.getBoundingClientRect())
    const apart = (a, b) => a.left >= b.right || b.left >= a.right || a.top >= b.bottom || b.top >= a.bottom
    return boxes.length == 3 && boxes.every((a, i) => boxes.slice(0, i).every(b => apart(a, b)))
"""


def test_the_servers_page_works_in_a_browser_without_internet(served, tmp_path):
    from tests.browser import chromium, console_errors, wait_until

    warnings = []
    view = window(served[1], warnings)
    for step in (1, 2, 3):
        view.losses(at(step), {"G_A": 1.0 / step, "D_A": 0.5}, {})
    view.pictures(at(3), pictures(), PATHS)
    view.close()
    with chromium(tmp_path / "profile") as browser:
        browser.get(f"http://127.0.0.1:{served[1]}")
        assert wait_until(browser, "return document.querySelectorAll('.window').length") == 3
        seen = wait_until(browser, "return [...document.images].map(i => i.naturalWidth).filter(w => w > 300)")
        assert len(seen) == 2
        text = wait_until(browser, "return document.querySelector('.plotly-graph-div').textContent")
        assert "G_A" in text and "D_A" in text
        assert wait_until(browser, NO_WINDOW_COVERS_ANOTHER)  # they move to their places for a moment
        if importlib.util.find_spec("plotly"):
            drawn = wait_until(browser, "return document.querySelectorAll('svg .scatterlayer path.js-line').length")
            assert drawn == 2
        else:
            assert "pip install plotly" in text
        assert console_errors(browser) == []
