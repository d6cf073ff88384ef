"""What watches a run, with servers that are dead, hang or talk nonsense, and disks that are full or hang."""

from __future__ import annotations

import importlib.util
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from tests.soak.reliability_checks.children import arguments, data_set, differences, trained, warm_up
from tests.soak.reliability_checks.planting import Plant, refuse
from tests.soak.reliability_checks.rows import Budget, Row
from tests.soak.reliability_checks.together import wrongs

LAW = "9 trackers"
MOST_SHARE = 0.01
PAGE = ("--update_html_freq", 1)
MEASURED = ("--niter", 150, "--niter_decay", 0, "--save_latest_freq", 0, "--save_epoch_freq", 0, "--print_freq", 100)
"""600 steps with the published frequencies of what is shown."""
Case = tuple[str, tuple[object, ...], Plant]
"""What is wrong, the flags, and what is planted."""


def run(budget: Budget) -> list[Row]:
    warm_up()
    data, straight = data_set(budget.folder / "data", budget.seed), budget.folder / "straight"
    ended = trained(arguments(data, straight), budget.folder / "said.txt")
    if ended.code:
        raise RuntimeError(f"the run without faults ended with {ended.code}: {ended.said[-300:]}")
    cases = _cases()
    wrong = wrongs(cases, partial(_tried, budget.folder, data))
    figure = f"{len(cases)} faults ({', '.join(name for name, *_ in cases)}): a warning each, the same weights"
    first = Row(
        LAW, "faults of servers and disks", figure if not wrong else f"{len(wrong)} wrong: {wrong[0]}", not wrong
    )
    return [first, _slowing(budget, data)]


def _tried(folder: Path, data: Path, number: int, case: Case) -> list[str]:
    name, flags, plant = case
    runs, said = folder / str(number), folder / f"said_{number}.txt"
    argv = arguments(data, runs, *flags)
    if "--update_html_freq" in flags:
        argv.remove("--no_html")
    ended = trained(argv, said, plant)
    warnings = [line for line in ended.said.splitlines() if line.startswith("warning: ")]
    if ended.code or "Traceback" in ended.said or len(warnings) != 1:
        return [f"{name}: exit code {ended.code}, {len(warnings)} warnings, {ended.said[-200:]}"]
    return [f"{name}: {what}" for what in differences(folder / "straight" / "run", runs / "run")[:1]]


def _cases() -> list[Case]:
    cases: list[Case] = [("page on a full disk", PAGE, _full_page)]
    cases.append(("page on a disk that hangs", PAGE, _hanging_page))
    if importlib.util.find_spec("tensorboard"):
        cases.append(("TensorBoard on a full disk", ("--tensorboard", "--display_freq", 1), _full_board))
    if importlib.util.find_spec("visdom"):
        for name, behave in (("no", None), ("a silent", _silent), ("an endless", _endless), ("a rude", _rude)):
            port = _server(behave) if behave else _free_port()
            flags = ("--display_id", 1, "--display_port", port, "--display_freq", 1)
            cases.append((f"{name} Visdom", flags, _impatient))
    return cases


def _full_page() -> None:
    Image.Image.save = refuse  # type: ignore[method-assign, assignment]


def _hanging_page() -> None:
    import trackers.background
    import trackers.web_page

    trackers.background.CLOSE_SECONDS = 0.5
    trackers.web_page.replace_content = lambda *_: time.sleep(10**6)


def _full_board() -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    RecordWriter.write = refuse


def _impatient() -> None:
    """The run is as long as eight steps are: its thread must have given up by then."""
    import trackers.visdom_window

    trackers.visdom_window.CONNECT_SECONDS = trackers.visdom_window.ANSWER_SECONDS = 0.5
    trackers.visdom_window.CLOSE_SECONDS = 60.0


def _slowing(budget: Budget, data: Path) -> Row:
    """Time that training spends in calls of trackers, and the processor's time of their threads, beside the run's."""
    noted = budget.folder / "seconds.txt"
    silent = ("--display_id", 1, "--display_port", _server(_silent)) if importlib.util.find_spec("visdom") else ()
    argv = [word for word in arguments(data, budget.folder / "measured", *MEASURED, *silent) if word != "--no_html"]
    ended = trained(argv, budget.folder / "said.txt", partial(_measured, noted))
    how = "share of 600 tiny steps: in trackers' calls, and their threads' processor time; page, log, silent Visdom"
    if ended.code:
        return Row(LAW, how, f"exit code {ended.code}: {ended.said[-200:]}", False)
    calls, threads, whole = map(float, noted.read_text().split())
    share = (calls + threads) / whole
    figure = (
        f"{share:.2%} ({calls:.2f} s in calls, {threads:.2f} s in threads, of {whole:.0f} s); allowed {MOST_SHARE:.0%}"
    )
    return Row(LAW, how, figure, share <= MOST_SHARE)


def _measured(noted: Path) -> None:
    """Clocks around all that the training loop asks of its trackers; what the threads took is read at the end."""
    from trackers import Trackers
    from trackers.loggers import Loggers

    spent, begun = [0.0], time.perf_counter()

    def clocked(call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*told: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*told)
            finally:
                spent[0] += time.perf_counter() - began

        return timed

    Trackers.losses, Trackers.pictures = clocked(Trackers.losses), clocked(Trackers.pictures)  # type: ignore[method-assign]
    leave = Loggers.__exit__

    def left(watch: Loggers, *why: Any) -> None:
        threads = 0.0
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and thread.ident:
                with suppress(OSError):
                    threads += time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        noted.write_text(f"{spent[0]} {threads} {time.perf_counter() - begun}")
        leave(watch, *why)

    Loggers.__exit__ = left  # type: ignore[method-assign, assignment]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _server(behave: Callable[[socket.socket], None]) -> int:
    """The port of a server that does this with every connection, for as long as this process lives."""
    listening = socket.create_server(("127.0.0.1", 0))
    pid = os.fork()
    if not pid:  # a process: the trainings are forked from this one, and threads do not survive that
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=behave, args=(connection,), daemon=True).start()
    port = int(listening.getsockname()[1])
    listening.close()
    return port


def _silent(connection: socket.socket) -> None:
    time.sleep(10**6)


def _endless(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 4096)


def _rude(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.recv(4096)
        connection.sendall(b"\x00\xff nonsense\r\n\r\n")
        connection.close()
