"""The benchmarks of step and translation: variants as asked for, the same work for all, figures that add up."""

import json
import os
from argparse import ArgumentParser, ArgumentTypeError
from multiprocessing import Pipe, active_children

import pytest
import torch

from benchmarks import benchmark
from benchmarks.speed import ceiling
from benchmarks.speed import runs as runs_module
from benchmarks.speed.runs import first_runs
from benchmarks.speed.variants import PUBLISHED, Variant, Workload, add_variants, build, variants_of
from instagan.errors import InputError
from instagan.kernels import convolution
from tests.programs import sentence

TINY = ("--size", "32", "--ngf", "4", "--ndf", "4", "--device", "cpu", "--repeats", "2", "--warm_ups", "0")
WORKLOAD = Workload(32, 4, 4, (2, 2), ins_max=4, ins_per=2, batch_size=1, device="cpu")


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(ceiling, "SECONDS", 1e-4)
    monkeypatch.setattr(ceiling, "TRIES", 1)


def names(*argv: str) -> list[str]:
    parser = ArgumentParser()
    add_variants(parser, ("published", "ours"))
    return [variant.name for variant in variants_of(parser.parse_args(argv))]


def test_steps_are_timed_beside_each_other(tmp_path, capsys, forked):
    file = tmp_path / "figures.json"
    code = benchmark.main(["step", *TINY, "--instances", "2", "1", "--batch_size", "1", "2", "--json", str(file)])
    assert code == 0
    figures = json.loads(file.read_text())
    assert figures["command"] == "step" and figures["instances"] == [2, 1] and figures["missing"] == {}
    assert figures["ceilings"]["float32"]["conv_forward_backward"] > 0
    flops = {}
    for batch, found in figures["batches"].items():
        assert set(found["variants"]) == {"published", "ours"}
        counted = found["flops_counted"]
        assert counted["ours"] == pytest.approx(counted["published"], rel=0.1)  # however it is scheduled and computed
        assert found["flops"] == counted["published"]
        flops[batch] = found["flops"]
        for name, of in found["variants"].items():
            step, rate = of["seconds_per_step"], of["pictures_per_second"]
            assert 0 < step["min"] <= step["median"] <= step["max"]
            assert rate["max"] == pytest.approx(int(batch) / step["min"])
            assert of["flops_per_second"] == pytest.approx(found["flops"] / step["median"])
            assert (of["published/it"]["median"] == 1) == (name == PUBLISHED)
    assert flops["2"] == 2 * flops["1"] > 0
    shown = capsys.readouterr().out
    assert shown.startswith("step: cpu") and "1 threads" in shown.splitlines()[0]
    assert shown.count("\npublished ") == shown.count("\nours ") == 2


def test_translations_are_timed_beside_each_other(tmp_path, forked):
    file = tmp_path / "figures.json"
    assert benchmark.main(["translate", *TINY, "--variant", "published", "ours", "--json", str(file)]) == 0
    found = json.loads(file.read_text())["batches"]["1"]
    assert set(found) == {"published", "ours"}
    for figures in found.values():
        assert 0 < figures["seconds"]["min"] <= figures["seconds"]["median"] == figures["seconds_per_picture"]["median"]


def test_names_of_variants():
    assert names() == ["published", "ours"]
    assert names("--precision", "fp32", "bf16") == ["published", "ours", "ours-fp32", "ours-bf16"]
    assert names("--variant", "ours", "--precision", "bf16", "--compile", "--checkpoint_activations") == [
        "ours",
        "ours-bf16",
        "ours-compile-checkpoint",
        "ours-bf16-compile-checkpoint",
    ]
    assert names("--variant", "ours-compile", "published", "ours-compile") == ["ours-compile", "published"]
    assert Variant.named("ours-bf16-channels_last").flags == ["--precision", "bf16", "--memory_format", "channels_last"]
    for wrong in ("theirs", "published-bf16", "ours-fast", ""):
        with pytest.raises(ArgumentTypeError):
            Variant.named(wrong)


def test_a_variant_that_cannot_run_here_leaves_the_others_alone(capsys, forked):
    assert benchmark.main(["translate", *TINY, "--variant", "ours-fp16", "ours"]) == 0
    shown = capsys.readouterr().out
    assert "ours-fp16 is left out: --precision fp16 needs a CUDA GPU" in shown and "\nours " in shown
    said = sentence(capsys, benchmark.main, "step", *TINY, "--variant", "ours-fp16")
    assert "nothing to measure" in said and "--precision fp16" in said


def test_every_variant_has_a_process_of_its_own_that_ends_with_the_measuring():
    with first_runs([Variant("published"), Variant("ours")], WORKLOAD, "translate") as runs:
        assert len({child.pid for child in active_children()} - {os.getpid()}) == 2
        assert runs.first["ours"].dtype == torch.float32 and runs.flops()["ours"] < runs.flops()["published"]
        assert all(runner() > 0 for runner in runs.runners.values())
    assert not active_children()


def test_a_variant_that_ends_while_it_is_measured_is_one_sentence(forked):
    with first_runs([Variant("ours")], WORKLOAD, "translate") as runs:
        (child,) = active_children()
        child.kill()
        child.join()
        with pytest.raises(InputError, match="--variant ours ended while it was measured: .* memory"):
            runs.runners["ours"]()


def test_what_fails_tells_why_in_one_line(monkeypatch):
    def fail(*_):
        raise RuntimeError("no kernel\nsecond line")

    monkeypatch.setattr(runs_module, "build", fail)
    here, there = Pipe()
    runs_module.serve(there, Variant("ours"), WORKLOAD, "translate", torch.get_num_threads())
    assert here.recv() == "RuntimeError: no kernel"


def test_wrong_input_is_one_sentence(capsys, forked):
    assert "--instances" in sentence(capsys, benchmark.main, "step", *TINY, "--instances", "1", "2", "3")
    assert "--fine_size" in sentence(capsys, benchmark.main, "step", *TINY, "--size", "34")
    assert "--device" in sentence(capsys, benchmark.main, "step", *TINY, "--device", "warp")


def test_all_variants_begin_with_the_same_weights_and_see_the_same_pictures():
    pair = WORKLOAD.pair()
    published = build(Variant("published"), WORKLOAD).training_step(pair)
    ours = build(Variant("ours"), WORKLOAD).training_step(WORKLOAD.pair())
    for name in ("cyc_A", "cyc_B", "idt_A", "idt_B", "ctx_A", "ctx_B"):  # the spectral norm has no part in these
        assert published[name].item() == pytest.approx(ours[name].item(), rel=1e-4), name


def test_random_pictures_hold_the_instances_asked_for():
    workload = Workload(64, 4, 4, (5, 2), ins_max=4, ins_per=2, batch_size=3, device="cpu")
    pair = workload.pair()
    assert pair["A"].present.shape == (3, 5) and pair["B"].present.shape == (3, 2)
    assert pair["A"].present.all() and pair["B"].present.all()
    share = (pair["A"].masks > 0).float().mean((2, 3))
    assert share.min() > 0.02 and share.max() < 0.3 and share.std() > 0.01
    assert pair["A"].image.abs().max() <= 1 and torch.equal(pair["A"].masks, workload.pair()["A"].masks)
    boxes = pair["A"].boxes
    assert (boxes[..., :2] >= 0).all() and (boxes[..., 2:] <= 64).all()


def test_flops_are_those_of_the_convolutions_forward_and_backward():
    convolution, x = torch.nn.Conv2d(3, 5, 3), torch.randn(2, 3, 8, 8, requires_grad=True)
    forward = 2 * 2 * 5 * 3 * 9 * 36
    assert ceiling.counted(lambda: convolution(x)) == forward
    assert ceiling.counted(lambda: convolution(x).sum().backward()) == 3 * forward


def test_multiplications_that_are_saved_count(monkeypatch):
    monkeypatch.setattr(convolution, "MANY_TO_MANY", 1)
    monkeypatch.setattr(convolution, "LARGE", 1)
    layer = convolution.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)
    features = torch.randn(2, 3, 8, 8)
    assert ceiling.counted(lambda: layer(features)) == 2 * 2 * 5 * 3 * 9 * 36
    assert convolution.LARGE == 1


def test_the_ceiling_is_a_rate(monkeypatch):
    monkeypatch.setattr(ceiling, "CHANNELS", 8)
    found = ceiling.ceiling(torch.device("cpu"), torch.float32)
    assert found.forward > 0 and found.both > 0 and found.matmul is None
    assert "TFLOP/s" in str(found) and set(found.figures()) == {"conv_forward", "conv_forward_backward", "matmul"}
