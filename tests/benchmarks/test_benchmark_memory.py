"""The benchmark of memory: real peaks of fresh processes, shares and growth."""

import json
from dataclasses import replace

import pytest

from benchmarks import benchmark
from benchmarks.speed import memory, peak
from benchmarks.speed.peak import Peak, peak_of
from benchmarks.speed.variants import Variant, Workload
from tests.programs import sentence

WORKLOAD = Workload(64, 4, 4, (2, 2), ins_max=2, ins_per=2, batch_size=1, device="cpu", others=memory.NO_POOL)
PEAKS = {("published", 4): 800, ("ours", 4): 400, ("ours", 2): 400, ("ours", 20): 410}


def told(variant: Variant, workload: Workload) -> Peak | str:
    most = PEAKS.get((variant.name, workload.instances[0]))
    assert workload.ins_max == (4 if workload.instances[0] == 4 else workload.instances[0])
    return Peak(most, most // 2, "made up") if most else "no such flag"


def test_shares_and_growth(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(memory, "peak_of", told)
    file = tmp_path / "figures.json"
    assert benchmark.main(["memory", "--small", "--device", "cpu", "--json", str(file)]) == 0
    figures = json.loads(file.read_text())
    assert [point["variant"] for point in figures["variants"]] == ["published", "ours", "ours-checkpoint"]
    assert figures["growth"]["of_peak"] == {"ours": pytest.approx(0.025)}
    assert figures["missing"] == ["ours-checkpoint with 4 is left out: no such flag"]
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if line.startswith("ours ")).split()[-2:] == ["0.50", "0.50"]
    assert "growth of ours: +2.5% of the peak" in lines


def test_nothing_to_measure_is_one_sentence(capsys):
    said = sentence(capsys, benchmark.main, "memory", "--device", "cpu", "--size", "34", "--growth", "2")
    assert "--fine_size" in said


def test_a_process_of_its_own_tells_its_peak():
    found = peak_of(Variant("ours"), WORKLOAD)
    assert isinstance(found, Peak) and "1 threads" in found.method
    # the first layer's output for each picture and mask of one backward, at the least; Python and torch in all
    assert found.above > 4 * 64 * 64 * 4 * 3
    assert found.peak - found.above > 100 * 2**20


def test_the_peak_is_that_of_the_step_alone(monkeypatch):
    """What was larger before and is gone does not count; what the step holds for a moment does."""
    size = 256 * 2**20
    passing = []

    class System:
        def training_step(self, pair):
            if pair["A"].image.shape[-1] == WORKLOAD.size:
                passing.append(bytearray(size).count(1))

    before = bytearray(2 * size)
    before[:: 2**12] = b"x" * len(before[:: 2**12])
    del before
    monkeypatch.setattr(peak, "build", lambda variant, workload: System())
    found = peak.resident(Variant("ours"), WORKLOAD, 1)
    if peak._status("VmHWM") is None:
        pytest.skip("no /proc here: only the process's highest mark of all is known")
    assert passing and found.above == pytest.approx(size, rel=0.1)


@pytest.mark.slow
def test_direction_by_direction_takes_less_than_everything_at_once():
    workload = replace(WORKLOAD, size=128, ngf=8)
    published, ours = (peak_of(Variant(name), workload) for name in ("published", "ours"))
    assert ours.above < 0.8 * published.above
