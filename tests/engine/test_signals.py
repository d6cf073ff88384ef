"""What signals do to a run: one ends it after its step, a second one at once, even where Python hears none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from engine.stop_request import SIGNALS, StopRequest
from tests.programs import ROOT

STUCK = """
import ctypes, sys
from engine import impatience
from engine.stop_request import StopRequest
impatience.GRACE = 0.3
with StopRequest():
    lock = ctypes.create_string_buffer(128)  # what the C library takes for a free mutex
    ctypes.CDLL(None).pthread_mutex_lock(lock)
    print("stuck", flush=True)
    ctypes.CDLL(None).pthread_mutex_lock(lock)  # never returns, and no signal makes it
"""


@pytest.mark.skipif(sys.platform != "linux", reason="relies on the C library's mutex")
def test_a_second_signal_ends_a_process_whose_main_thread_hears_none():
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "stuck\n"
        process.send_signal(signal.SIGTERM)
        time.sleep(0.6)
        assert process.poll() is None  # the first one is a wish
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert error == "interrupted at once; what was saved before is there\n"


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_every_such_signal_is_a_wish_and_the_second_an_interruption(number, request):
    if signal.getsignal(number) == signal.SIG_IGN:  # the tests were started by nohup
        request.addfinalizer(lambda: signal.signal(number, signal.SIG_IGN))
        signal.signal(number, signal.SIG_DFL)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        os.kill(os.getpid(), number)
        assert stop.wish() == number and stop.agree(stop.wish()) and stop.exit_code == 128 + number
        os.kill(os.getpid(), number)
        time.sleep(60)  # until it is interrupted
    assert signal.getsignal(number) == before and signal.set_wakeup_fd(-1) == -1


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.wish() == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_nothing_is_left_behind():
    """More than there was: what earlier tests started may end meanwhile."""
    threads, files = set(threading.enumerate()), len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc") else 0
    for _ in range(20):
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.wish() == signal.SIGTERM
    limit = time.monotonic() + 5
    while not set(threading.enumerate()) <= threads and time.monotonic() < limit:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= threads
    assert not files or len(os.listdir("/proc/self/fd")) <= files
