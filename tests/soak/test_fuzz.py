"""1,000 cases of hostile input, the same every time; and the law itself, held to what it must notice."""

import json
import mmap
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import strategies as st

from instagan.errors import InputError
from tests.soak.fuzzing.judging import BrokenLawError, judge
from tests.soak.fuzzing.running import fuzz
from tests.soak.fuzzing.session import Plan, run_all
from tests.soak.fuzzing.target import Target, file_target
from tests.test_floors import ROOT

CASES = 1_000


def test_thousands_of_cases_break_no_law(tmp_path):
    """In a process of its own: what a case is depends on what was imported, and a crash must not end the tests."""
    command = [sys.executable, "tests/soak/fuzz.py", "--cases", str(CASES), "--keep", str(tmp_path / "finds")]
    told = tmp_path / "told.json"
    done = subprocess.run([*command, "--json", str(told)], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    counts = json.loads(told.read_text())
    assert 0.97 * CASES <= counts["cases"] <= 1.03 * CASES and len(counts["targets"]) >= 30


def reader(read):
    return file_target("a reader", "input.txt", (b"whole",), read, st.binary(max_size=4), 1)


def refuse(path):
    raise InputError(f"{path} is no good; pass another")


def test_a_value_and_a_sentence_are_what_the_law_allows(tmp_path):
    for read in (Path.read_bytes, refuse):
        judge(reader(read), b"x", tmp_path)
    assert list((tmp_path / "room").iterdir()) == []


def outside(path):
    Path(f"{path.parent.parent}/outside.txt").write_bytes(b"x")


def left(path):
    path.with_name(".input.txt.1.tmp").touch()


def raised(error):
    def read(path):
        raise error

    return read


def new_pages(size):
    """Memory that no allocator has kept from before."""
    pages = mmap.mmap(-1, size)
    for place in range(0, size, mmap.PAGESIZE):
        pages[place] = 1


@pytest.mark.parametrize(
    "read, told",
    [
        (lambda path: os.system("true"), "os.system"),
        (lambda path: subprocess.run(["true"]), "subprocess.Popen|posix_spawn|os.fork"),
        (outside, "outside.txt"),
        (lambda path: path.rename(path.parent.parent / "moved"), "os.rename"),
        (left, "left"),
        (raised(InputError("it is no good; pass another")), "does not name"),
        (raised(InputError("input.txt " + "x" * 5000)), None),
        (lambda path: new_pages(700 * 2**20), "MiB"),
    ],
)
def test_the_law_notices(tmp_path, read, told):
    if told is None:
        judge(reader(read), b"x", tmp_path)  # a long sentence is made shorter
        return
    with pytest.raises(BrokenLawError, match=told):
        judge(reader(read), b"x", tmp_path)


def test_the_law_notices_what_does_not_end(tmp_path, monkeypatch):
    def endless(path):
        while True:
            path = path.parent / path.name

    monkeypatch.setattr("tests.soak.fuzzing.judging.SECONDS", 0.2)
    with pytest.raises(BrokenLawError, match="did not end"):
        judge(reader(endless), b"x", tmp_path)


def test_other_errors_pass_through_and_are_made_small(tmp_path):
    def fails(path):
        if b"!" in path.read_bytes():
            raise KeyError("what")

    count = fuzz(reader(fails), 600, 60, 0, tmp_path)
    assert [find.case for find in count.finds] == [b"!"] and count.cases >= 600
    assert count.finds[0].told.startswith("KeyError at test_fuzz.py:")
    kept = count.finds[0].keep(tmp_path / "kept")
    assert kept.read_bytes() == b"!" and "Traceback" in kept.with_suffix(".txt").read_text()


def test_the_same_start_gives_the_same_cases(tmp_path):
    seen = []
    for start in (1, 1, 2):
        cases = []
        fuzz(Target("cases", st.binary(max_size=9), lambda case, folder, cases=cases: cases.append(case), 1), 50, 60,
             start, tmp_path)  # fmt: skip
        seen.append(cases)
    assert seen[0] == seen[1] != seen[2]


def test_a_process_that_ends_is_a_find(tmp_path):
    targets = [reader(lambda path: os._exit(3)), reader(Path.read_bytes)]
    targets = [Target(f"{n}", target.cases, target.run, 1) for n, target in enumerate(targets)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forking beside threads
        counts = {count.target: count for count in run_all(targets, Plan(20, 30, 0), tmp_path)}
    assert "exit code 3" in counts["0"].finds[0].told
    assert counts["1"].cases == 10 and not counts["1"].finds
