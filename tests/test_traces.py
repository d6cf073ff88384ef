"""Which traces there are, and which of them nothing here can follow yet."""

import pytest

from tests.traces import FOLDERS, FOLLOWED, all_traces, system_of


def test_every_folder_has_traces():
    assert all(any(folder.glob("*.npz")) for folder in FOLDERS), f"no .npz in one of {FOLDERS}"


@pytest.mark.parametrize("path", all_traces(), ids=lambda path: path.stem)
def test_every_trace_is_of_a_system_that_is_here(path):
    if system_of(path) not in FOLLOWED:
        pytest.skip(f"{system_of(path)}: no method here follows this system yet")
