"""The end of a process whose main thread hears no signal, because a library's call does not return."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Collection

GRACE = 5.0
"""Seconds after the second signal in which the main thread may end the program by itself."""
INTERRUPTED = 130
SENTENCE = b"interrupted at once; what was saved before is there\n"


class Impatience:
    """Counts signals in a thread, and ends the process if it is still there some seconds after the second one.

    Python runs a signal's handler between two steps of its main thread, and so never in one that waits for a lost rank
    or a device that hangs; a byte in a pipe arrives all the same.
    """

    def __init__(self, signals: Collection[signal.Signals]) -> None:
        """From the main thread, after the handlers were set."""
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._earlier = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._signals, self._ended = frozenset(signals), threading.Event()
        threading.Thread(target=self._count, name="impatience", daemon=True).start()

    def end(self) -> None:
        """From the main thread: it does hear, and the process lives on."""
        signal.set_wakeup_fd(self._earlier)
        self._ended.set()
        os.close(self._writer)

    def _count(self) -> None:
        heard = 0
        while arrived := os.read(self._reader, 64):
            heard += sum(number in self._signals for number in arrived)
            if heard > 1 and not self._ended.wait(GRACE):
                os.write(2, SENTENCE)
                os._exit(INTERRUPTED)
        os.close(self._reader)
