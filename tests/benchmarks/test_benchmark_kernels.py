"""The benchmark of the kernels: each is left out, and nothing else."""

import json

import pytest
import torch

from benchmarks import benchmark
from benchmarks.speed import ceiling
from benchmarks.speed import variants as variants_module
from benchmarks.speed.variants import WITHOUT, Variant, Workload, build
from instagan.kernels import KERNELS
from instagan.kernels.stack import Stack

TINY = ("--size", "32", "--ngf", "4", "--ndf", "4", "--device", "cpu", "--repeats", "2", "--warm_ups", "0")
WORKLOAD = Workload(32, 4, 4, (2, 2), ins_max=4, ins_per=2, batch_size=1, device="cpu")


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(ceiling, "SECONDS", 1e-4)
    monkeypatch.setattr(ceiling, "TRIES", 1)


def test_a_step_is_timed_beside_one_without_a_kernel(tmp_path, capsys, forked):
    file = tmp_path / "figures.json"
    assert benchmark.main(["kernels", *TINY, "--kernel", "columns", "allocator", "--json", str(file)]) == 0
    figures = json.loads(file.read_text())
    (size,) = figures["sizes"]
    assert size["size"] == 32 and set(size["kernels"]) == {"columns", "allocator"}
    for found in size["kernels"].values():
        assert all(0 < found[key]["min"] <= found[key]["median"] <= found[key]["max"] for key in found)
        assert set(found) == {"with", "without", "without/with"}
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["columns", "allocator"]


def test_both_sizes_are_measured_unless_one_is_chosen():
    def sizes(*flags):
        options = benchmark._parser().parse_args(["kernels", "--device", "cpu", *flags])
        return [(workload.size, workload.ngf) for workload in benchmark.kernels._workloads(options)]

    assert sizes() == [(200, 64), (64, 16)]
    assert sizes("--small") == [(64, 16)]
    assert sizes("--size", "48") == [(48, 64)]


def test_a_variant_without_a_kernel_has_all_others(monkeypatch):
    prepared, models, build_model = [], [], variants_module.build_model

    def recorded(*arguments, **kernels):
        models.append(build_model(*arguments, **kernels))
        return models[-1]

    monkeypatch.setattr(variants_module, "prepare", lambda *_, own_allocator: prepared.append(own_allocator))
    monkeypatch.setattr(variants_module, "build_model", recorded)
    for switch in WITHOUT:
        variant = Variant.named(f"ours-bf16-{switch}")
        assert variant.flags == ["--precision", "bf16"]
        assert set(KERNELS) - variant.kernels == {switch.removeprefix("no_")} - {"allocator"}
        build(variant, WORKLOAD)
        stacks = [module for module in models.pop().modules() if isinstance(module, Stack)]
        assert stacks and all(stack.kernels == variant.kernels for stack in stacks)
        assert all(stack.execution.precision == torch.bfloat16 for stack in stacks)
        assert prepared.pop() == (switch != "no_allocator")
