"""Threads that draw and talk beside the training leave its processors to it."""

import threading
from collections.abc import Iterator

import pytest
import torch

from engine.schedule import Progress
from instagan.threads import beside, pool_beside
from trackers.background import Background


@pytest.fixture(autouse=True)
def several_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_a_thread_beside_another_computes_alone_and_leaves_it_its_own():
    found = []
    thread = beside(lambda: found.append((torch.get_num_threads(), threading.current_thread().name)), "drawing")
    assert thread.daemon
    thread.start()
    thread.join()
    assert found == [(1, "drawing")] and torch.get_num_threads() == 3


def test_so_does_a_pool():
    with pool_beside(2, "decode") as pool:
        found = [pool.submit(torch.get_num_threads).result() for _ in range(4)]
    assert found == [1] * 4 and torch.get_num_threads() == 3


def test_trackers_in_the_background_compute_alone():
    class Counts:
        def __init__(self) -> None:
            self.found: list[int] = []

        def losses(self, progress: Progress, losses: object, facts: object) -> None:
            self.found.append(torch.get_num_threads())

        def close(self) -> None:
            self.found.append(torch.get_num_threads())

    tracker, warnings = Counts(), []
    background = Background(tracker, warnings.append)
    background.losses(None, {}, {})
    background.close()
    assert tracker.found == [1, 1] and torch.get_num_threads() == 3 and not warnings
