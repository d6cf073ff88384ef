"""MUNIT's published schedule does the same work as ours: the same losses from the same weights and styles."""

from dataclasses import replace

import pytest
import torch

from benchmarks import benchmark
from benchmarks.speed import ceiling
from benchmarks.speed.peak import Peak, peak_of
from benchmarks.speed.variants import Variant, Workload, build

SMALL = ("--num_scales", "1", "--recon_x_cyc_w", "10", "--mlp_dim", "8")
WORKLOAD = Workload(32, 4, 4, (2, 1), ins_max=2, ins_per=2, batch_size=1, device="cpu", method="munit", others=SMALL)


def losses_of(name: str, workload: Workload) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build(Variant(name), workload).training_step(workload.pair())


@pytest.mark.parametrize("method", ["munit", "init"])
def test_a_step_has_the_losses_of_ours(method):
    """Those of G are found after D's step, so that this holds D's gradients, too."""
    workload = replace(WORKLOAD, method=method)
    if method == "init":  # whose styles are drawn alone, as MUNIT's are
        workload = replace(workload, others=(*SMALL, "--exemplar_share", "0"))
    ours, published = losses_of("ours", workload), losses_of("published", workload)
    of_scenes = {name: loss for name, loss in ours.items() if "object" not in name}
    assert published.keys() == of_scenes.keys() and len(published) == 12
    for name, loss in of_scenes.items():
        torch.testing.assert_close(published[name], loss, rtol=1e-3, atol=1e-4, msg=name)


def test_methods_are_measured_beside_each_other(monkeypatch, capsys, forked):
    monkeypatch.setattr(ceiling, "SECONDS", 1e-4)
    monkeypatch.setattr(ceiling, "TRIES", 1)
    sizes = ("--size", "64", "--ngf", "4", "--ndf", "4", "--instances", "2", "--device", "cpu", "--repeats", "1")
    assert benchmark.main(["step", "--method", "init", *sizes, "--warm_ups", "0"]) == 0
    shown = capsys.readouterr().out
    assert "init, 64 x 64 pixels" in shown and "\npublished " in shown and "\nours " in shown


def test_the_peak_of_a_step(tmp_path):
    found = peak_of(Variant("published"), replace(WORKLOAD, size=64, others=()))
    assert isinstance(found, Peak) and found.above > 0
