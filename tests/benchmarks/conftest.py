"""What tests of the benchmarks share."""

import multiprocessing

import pytest


@pytest.fixture
def forked(monkeypatch):
    """Variants run in forked processes: a fresh one imports torch for three seconds."""
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: fork)
