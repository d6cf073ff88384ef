"""Requests that no browser makes, to the web page and to the Visdom helper: refused, and the next one is answered."""

import importlib.util
import json
import os
import random
import socket
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.test_floors import ROOT

RAW = (
    b"\r\n\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nx",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\nx",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nzz\r\n",
    b"GET /%00%ff%2e%2e%2f%2e%2e%2fetc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\xff" * 3000,
)
MALFORMED = (
    b"", b"null", b"[]", b"{}", b"[" * 50_000, b"\xff\xfe", b'{"data": null, "fn_index": 0}', b'{"data": 1e999}',
    b'{"fn_index": -1, "data": [], "session_hash": "x"}', b'{"fn_index": "0", "data": {}, "session_hash": []}',
    b'{"fn_index": 2, "data": [1,2,3,4,5,6,7], "session_hash": "x"}',
)  # fmt: skip


def said(port, content, seconds=10.0, host="127.0.0.1", complete=False):
    """What is answered to raw bytes; b"" where the connection is closed or nothing comes.

    complete: a whole request, whose answer ends the connection; else the server is told that nothing more will come.
    """
    with socket.create_connection((host, port), timeout=seconds) as line:
        try:
            line.sendall(content)
            if complete:
                return b"".join(iter(lambda: line.recv(65536), b""))
            line.shutdown(socket.SHUT_WR)
            return line.recv(65536)
        except OSError:
            return b""


def posted(port, path, body, *headers, length=None):
    head = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", "Content-Type: application/json", *headers]
    head.append(f"Content-Length: {len(body) if length is None else length}")
    return said(port, "\r\n".join(head).encode() + b"\r\n\r\n" + body, complete=length is None)


def status(answer):
    return int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0


def answers(port):
    request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    return status(said(port, request, 60, complete=True)) == 200


def endless(port, path, pieces=200):
    """Megabytes in pieces whose number is not told; the answer, or b"" where the connection is closed before."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        try:
            line.sendall(head)
            for _ in range(pieces):
                line.sendall(b"100000\r\n" + bytes(2**20) + b"\r\n")
        except OSError:
            pass
        try:
            return line.recv(4096)
        except OSError:
            return b""


def memory(pid):
    told = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in told if line.startswith("VmHWM"))


@contextmanager
def waiting(port, count=60):
    """Connections that begin a request and do not go on."""
    lines = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(count)]
    try:
        for line in lines:
            line.sendall(b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Le")
        yield
    finally:
        for line in lines:
            line.close()


def is_on_loopback_alone(port):
    """Not even another address of this machine reaches it."""
    others = {"127.0.0.2", socket.gethostbyname(socket.gethostname())} - {"127.0.0.1"}
    for host in others:
        with pytest.raises(OSError), socket.create_connection((host, port), timeout=3):
            pass
    return True


def noise(seed):
    draw = random.Random(seed)
    return [
        RAW[draw.randrange(len(RAW))][: draw.randrange(2000)] + draw.randbytes(draw.randrange(300)) for _ in range(40)
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    pytest.importorskip("gradio")
    from tests.cli.test_app_page import served
    from tests.using import tiny_run

    run, _ = tiny_run(tmp_path_factory.mktemp("page"), "run")
    with served(run.path, "--max_upload", "1") as address:
        yield int(address.rpartition(":")[2])


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    if importlib.util.find_spec("visdom") is None:
        pytest.skip("visdom is not installed")
    from tests.trackers.test_visdom import start, stop

    folder = tmp_path_factory.mktemp("visdom")
    server, port = start(folder / "env")
    yield port, folder, server.pid
    stop(server)


def test_the_page_survives_what_is_no_request(page):
    assert is_on_loopback_alone(page)
    for content in (*RAW, *noise(0)):
        assert status(said(page, content, 3)) < 500, content[:80]
    for path in ("/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/run/predict", "/gradio_api/reset", "/x"):
        for body in MALFORMED:
            answer = posted(page, path, body)
            assert b"Traceback" not in answer and str(ROOT).encode() not in answer, (path, body[:40], answer)
    assert answers(page)


def test_the_page_answers_others_while_some_do_not_go_on(page):
    with waiting(page):
        started = time.monotonic()
        assert answers(page) and time.monotonic() - started < 30


def test_the_page_refuses_what_is_too_long(page):
    assert status(posted(page, "/gradio_api/queue/join", b"x", length=10**10)) == 413
    assert status(posted(page, "/gradio_api/upload", b"x", length=10**10)) == 413
    for path in ("/gradio_api/queue/join", "/gradio_api/upload"):
        assert status(endless(page, path)) in (0, 400, 413)
    assert answers(page)


def test_a_file_with_a_name_of_tricks_stays_in_the_page_s_folder(page, tmp_path):
    for name in (
        "../../../outside.png",
        "/etc/outside.png",
        "a\\..\\b.png",
        "x" * 300 + ".png",
        "<script>.png",
        "\x1b.png",
    ):
        body = (
            b'--b\r\nContent-Disposition: form-data; name="files"; filename="' + name.encode() + b'"\r\n'
            b"Content-Type: image/png\r\n\r\nhello\r\n--b--\r\n"
        )
        head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        answer = said(
            page, head.encode() + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" + body, complete=True
        )
        assert status(answer) in (200, 400, 422, 500), answer
        if status(answer) == 200:
            (path,) = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert "instagan_page_" in path and os.path.realpath(path) == path and ".." not in Path(path).parts
    assert not Path("/etc/outside.png").exists() and answers(page)


def test_the_visdom_helper_survives_what_is_no_request(windows):
    port, folder, pid = windows
    assert is_on_loopback_alone(port)
    for content in (*RAW, *noise(1)):
        said(port, content, 0.5)  # to some of it nothing is answered
    for path in ("/events", "/update", "/close", "/save", "/env/main", "/win_exists", "/win_data", "/delete_env", "/x"):
        for body in MALFORMED:
            posted(port, path, body)
    assert answers(port)


def test_the_visdom_helper_writes_into_its_folder_alone(windows):
    port, folder, _ = windows
    before = {path for path in folder.rglob("*") if folder / "env" not in path.parents}
    for name in ("../outside", "/tmp/visdom_outside", "..\\outside", "../../outside", "a\0b", "..", "x" * 300):
        window = {"data": [{"type": "text", "content": "x"}], "eid": name, "win": name, "opts": {}}
        posted(port, "/events", json.dumps(window).encode())
        for path, content in (("/save", {"data": [name]}), ("/fork_env", {"eid": name, "prev_eid": "main"})):
            posted(port, path, json.dumps({**content, "eid": name}).encode())
        for path in (f"/env/{name}", f"/static/{name}", "/static/../../../../../etc/passwd", "/static//etc/passwd"):
            answer = said(port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            assert b"root:" not in answer
    after = {path for path in folder.rglob("*") if folder / "env" not in path.parents}
    assert after == before and not Path("/tmp/visdom_outside.json").exists() and answers(port)


def test_the_visdom_helper_refuses_what_is_too_long(windows):
    port, _, pid = windows
    before = memory(pid)
    assert status(posted(port, "/events", b"x", length=10**10)) in (0, 400, 413)
    assert status(endless(port, "/events")) in (0, 400, 413)
    assert memory(pid) - before < 200 * 2**20 and answers(port)
