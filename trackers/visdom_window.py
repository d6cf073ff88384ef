"""Live windows on a Visdom server: one plot of the losses, the newest pictures, the same with instances drawn over.

A thread does the talking. Training hands it work and never waits: what the thread cannot keep up with is dropped, and
after the first failure nothing is sent any more.
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlparse

import numpy as np

from engine.schedule import Progress
from instagan.io.contact_sheet import enlarged
from instagan.io.overlay import overlay
from instagan.io.pixels import to_picture
from instagan.structures.instances import InstanceBatch
from instagan.threads import beside
from pages.curves import Point, thinned
from trackers import Losses, Paths, Pictures
from trackers.history import LossHistory

CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 10.0
"""How long the thread waits for a server to accept and to answer. Only the thread waits."""

MOST_ANSWER = 2**16
"""Bytes of an answer: a Visdom server's have a few."""

CLOSE_SECONDS = 2.0
"""How long ``close`` waits for the last work to be sent."""

PENDING = 8
"""Pieces of work that may wait for the thread; more are dropped."""

POINTS = 500
"""At most this many points per curve: the whole plot is sent anew each time, so a lost message does no harm."""

ROWS = 4
"""Pictures shown of each batch."""


class VisdomWindow:
    """Sends to ``server``:``port``, environment ``env``. Windows: ``display_id`` is the plot, + 1 the pictures with
    ``ncols`` in a line, + 2 the pictures with instances, + 3 figures of validation pictures, if there are any. ``name``
    heads each window; ``history`` are lines of the run's loss log, so that a resumed run continues its curves. ``warn``
    is called once if the server is slow, and once if it is not there, from any thread."""

    def __init__(
        self,
        server: str,
        port: int,
        env: str,
        display_id: int,
        ncols: int,
        name: str,
        warn: Callable[[str], None],
        history: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self._server, self._port, self._env = server, port, env
        self._first_id, self._ncols, self._name = display_id, max(1, ncols), name
        self._warn = warn
        self._history = LossHistory(history)
        self._work: queue.Queue[Callable[[Any], None] | None] = queue.Queue(PENDING)
        self._failed = threading.Event()
        self._dropped = threading.Event()
        self._thread = beside(self._send_all, "visdom")
        self._thread.start()

    def losses(self, progress: Progress, losses: Losses, facts: Losses) -> None:
        self._history.add(progress, losses, facts)
        if not self._failed.is_set():
            series = {name: tuple(points) for name, points in self._history.of_training().items()}
            self._offer(lambda client: self._plot(client, series, self._first_id, "losses", "loss"))
            figures = {name: tuple(points) for name, points in self._history.of_validation().items()}
            if any(name in figures for name in losses):
                self._offer(lambda client: self._plot(client, figures, self._first_id + 3, "validation", "value"))

    def pictures(self, progress: Progress, pictures: Pictures, paths: Paths) -> None:
        if self._failed.is_set() or not pictures:
            return
        title = f"{self._name}: epoch {progress.epoch}, step {progress.steps}"
        # The thread draws, but the tensors leave the device here: it is training's to give away.
        batches = [
            (name, batch[:ROWS].detach().to("cpu")) for shown in pictures.values() for name, batch in shown.items()
        ]
        self._offer(lambda client: self._show(client, title, batches))

    def close(self) -> None:
        deadline = time.monotonic() + CLOSE_SECONDS
        if not self._failed.is_set():
            with contextlib.suppress(queue.Full):
                self._work.put(None, timeout=CLOSE_SECONDS)
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _offer(self, work: Callable[[Any], None]) -> None:
        try:
            self._work.put_nowait(work)
        except queue.Full:
            self._dropped.set()

    def _send_all(self) -> None:
        """The thread: connects, then does the work in order until there is no more or the first failure."""
        try:
            client, told = _connect(self._server, self._port, self._env), False
            while (work := self._work.get()) is not None:
                work(client)
                del work  # holds pictures
                if self._dropped.is_set() and not told:  # by a server that answers, but late
                    told = True
                    self._warn("warning: Visdom is slow; training does not wait, some of it is not shown")
        except Exception as error:  # whatever a server or its client does must not end a training run
            self._failed.set()
            reason = str(error) or type(error).__name__
            self._warn(f"warning: no Visdom windows from here on ({self._server}:{self._port}: {reason})")

    def _plot(self, client: Any, series: Mapping[str, tuple[Point, ...]], number: int, what: str, value: str) -> None:
        """The losses, or the figures of validation pictures, as one line plot.

        Each has steps of its own: one that is not logged at every step has no gaps.
        """
        curves = {name: thinned(list(points), POINTS) for name, points in series.items()}
        traces = [
            {
                "type": "scatter",
                "mode": "lines" if len(points) > 1 else "markers",
                "name": name,
                "x": [step for step, _ in points],
                "y": [value if math.isfinite(value) else None for _, value in points],
            }
            for name, points in curves.items()
        ]
        title = f"{self._name}: {what}"
        layout = {
            "showlegend": True,
            "margin": {"l": 60, "r": 20, "t": 30, "b": 50},
            "xaxis": {"title": {"text": "step"}},
            "yaxis": {"title": {"text": value}},
        }
        opts = {"title": title, "width": 720, "height": 400}
        window = str(number)
        if traces:
            message = {"data": traces, "layout": layout, "opts": opts, "win": window, "eid": self._env}
            _expect(window, client._send(message))  # the call for those who build their own plot

    def _show(self, client: Any, title: str, batches: Sequence[tuple[str, InstanceBatch]]) -> None:
        """Two grids: each line of them is one row of all batches, in their order."""
        order = [(name, batch, row) for row in range(ROWS) for name, batch in batches if row < len(batch)]
        plain = [to_picture(batch.image[row]) for _, batch, row in order]
        drawn = [overlay(batch.image[row], batch.masks[row], batch.present[row]) for _, batch, row in order]
        names = " ".join(name for name, _ in batches)  # in the title: Visdom lays a caption over the pictures
        for offset, what, pictures in ((1, "pictures", plain), (2, "instances", drawn)):
            size = enlarged(pictures[0]).size
            stack = [np.asarray(enlarged(picture).resize(size)).transpose(2, 0, 1) for picture in pictures]
            opts = {"title": f"{title}, {what}: {names}"}
            window = str(self._first_id + offset)
            _expect(window, client.images(np.stack(stack), nrow=self._ncols, win=window, env=self._env, opts=opts))


def _expect(window: str, answer: object) -> None:
    """A Visdom server answers with the window it has drawn in; anything else is another kind of server."""
    if answer != window:
        raise ConnectionError("what answers there is no Visdom server")


def _connect(server: str, port: int, env: str) -> Any:
    """A client that never waits long and prints nothing. Raises any error that keeps it from working."""
    if importlib.util.find_spec("visdom") is None:
        raise ConnectionError("the package visdom is not installed; see requirements-visdom.txt")
    import requests
    import visdom

    logging.getLogger("visdom").setLevel(logging.CRITICAL)
    session = requests.Session()
    session.trust_env = not _is_own_machine(server)  # a proxy for the internet must not be asked for localhost

    class Client(visdom.Visdom):
        """Visdom's client with time limits: its own waits for an answer for ever."""

        def _handle_post(self, url: str, data: Any = None) -> str:
            waiting, until = (CONNECT_SECONDS, ANSWER_SECONDS), time.monotonic() + ANSWER_SECONDS
            with session.post(url, data=data or {}, timeout=waiting, stream=True, allow_redirects=False) as answer:
                answer.raise_for_status()
                text = b""
                for piece in answer.iter_content(1024):
                    text += piece
                    if len(text) > MOST_ANSWER or time.monotonic() > until:
                        raise ConnectionError("what answers there is no Visdom server: its answer does not end")
            return text.decode()

    try:
        return Client(server=server, port=port, env=env, raise_exceptions=True, use_incoming_socket=False)
    except ConnectionError:
        raise ConnectionError(
            "no server answers; start one: python -m visdom.server (offline: python scripts/visdom_server.py)"
        ) from None


def _is_own_machine(server: str) -> bool:
    host = urlparse(server if "://" in server else f"http://{server}").hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
