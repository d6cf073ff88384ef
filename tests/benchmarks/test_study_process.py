"""Programs that were stopped or killed leave no process behind."""

import signal
import subprocess
import sys

import pytest

from tests.programs import ROOT

PROGRAM = """
import signal
from benchmarks.studies.process import in_a_process_of_its_own
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
if __name__ == "__main__":
    in_a_process_of_its_own("one", exec, "import time; print('began', flush=True); time.sleep(600)")
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_process_ends_with_its_parent(number, tmp_path):
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout.readline() == b"began\n"
        parent.send_signal(number)
        parent.communicate(timeout=60)  # reads to the end, which is where both have closed it
