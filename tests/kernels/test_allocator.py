"""Freed memory stays with the process, and goes back when it becomes much."""

import gc
import os
import subprocess
import sys

import pytest

from instagan.kernels.allocator import return_free_pages

ALLOCATING = """
import resource, torch
from instagan.kernels.allocator import keep_memory
kept = keep_memory(little={little})
faults = []
for _ in range(12):
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    blocks = [torch.ones({count}) for _ in range(5)]
    del blocks
print(kept, faults[-1] - faults[1])  # not those of the first time, nor of loading torch
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
@pytest.mark.parametrize("settings", [{}, {"MALLOC_ARENA_MAX": "4"}])
@pytest.mark.parametrize(("little", "megabytes"), [(False, 64), (True, 28)])
def test_freed_memory_is_kept_unless_the_user_configures_malloc(settings, little, megabytes):
    code = ALLOCATING.format(little=little, count=2**18 * megabytes)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | settings, check=True
    )
    kept, faults = done.stdout.split()
    assert (kept == "True") == (not settings)
    if kept == "True":
        pages = 10 * 5 * megabytes * 2**20 / os.sysconf("SC_PAGE_SIZE")
        assert int(faults) < pages / 4  # each would be asked for anew


RETURNING = """
import re, torch
from instagan.kernels.allocator import keep_memory, return_free_pages
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
def returned(blocks, freed):
    blocks = [torch.ones(2**18) for _ in range(blocks)]  # 1 MiB each: a hole more or less is no growth
    del blocks[:freed]
    before = resident()
    return_free_pages()
    return before - resident() > 100
keep_memory()
print(returned(1280, 320))  # little
print(returned(1280, 1248))  # the first time that it is much
print(returned(1280, 1248), returned(1280, 1248))  # no more than the time before
print(returned(1600, 1568))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_free_pages_are_returned_when_they_are_many_and_become_more():
    done = subprocess.run([sys.executable, "-c", RETURNING], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False", "False", "True"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_returning_pages_leaves_nothing_for_the_garbage_collector():
    return_free_pages()
    gc.collect()
    gc.disable()
    try:
        return_free_pages()
        assert gc.collect() == 0
    finally:
        gc.enable()
