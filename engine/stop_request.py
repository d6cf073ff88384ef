"""Ctrl-C, SIGTERM and their like as a wish that the training loop grants after its step."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from engine.impatience import Impatience

SIGNALS = [number for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if (number := getattr(signal, name, None))]
"""Ctrl-C, a preempted machine's last word, a terminal that closes, and what schedulers announce an end with."""
OTHER_WISHES = 1 << 8
"""No signal has such a number: bits from here on are left to others."""


class StopRequest:
    """Within it the first signal is only noted; a second one ends the program at once, whatever it is waiting for.

    ``signal`` is what this process was sent, ``agreed`` what all ranks grant at the same step. launched: by torchrun,
    which passes signals on that a rank may have been sent already: then only torchrun's SIGKILL ends it at once.
    """

    def __init__(self, launched: bool = False) -> None:
        self.launched = launched
        self.signal: signal.Signals | None = None
        self.agreed: signal.Signals | None = None
        self._earlier: dict[signal.Signals, object] = {}
        self._impatience: Impatience | None = None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is not threading.main_thread():
            return self  # signals arrive in the main thread only
        for number in SIGNALS:
            if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) != signal.SIG_IGN:  # as by nohup
                self._earlier[number] = signal.signal(number, self._note)
        if not self.launched:
            self._impatience = Impatience(self._earlier)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if self._impatience:
            self._impatience.end()

    def wish(self) -> int:
        """Number of the signal that this process was sent, 0 for none."""
        return self.signal or 0

    def agree(self, wishes: int) -> bool:
        """Takes over what some rank was sent; whether it is time to end. wishes: its number below ``OTHER_WISHES``."""
        number = wishes % OTHER_WISHES
        self.agreed = signal.Signals(number) if number else None
        return bool(number)

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that a signal ended; 0 when none came.

        Also 0 under torchrun, which would take anything else for a failure and start the program again.
        """
        return 128 + self.agreed if self.agreed and not self.launched else 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and not self.launched:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
