"""What is not finite never reaches the weights, and ends a run, or is skipped, with the names of the pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from data.loading import TrainingLoader
from engine.finite import WARNINGS, FiniteCheck, NotFiniteError
from engine.optimizer import GuardedAdam, step
from engine.parallel import ALONE
from engine.run_folder import RunFolder
from engine.schedule import Progress
from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import UnpairedBatch
from tests.batches import random_batch, random_pair
from tests.engine.test_resume import assert_equal
from tests.models.test_insta_gan_model import small_model
from tests.programs import draw_set, tiny, train, train_program
from tests.ranks import fork

FLAGS = ("--no_html", "--no_flip", "--serial_batches", "--niter", "1", "--niter_decay", "0", "--name", "run")
METHODS = [("insta_gan",), ("cycle_gan",)]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return draw_set(tmp_path_factory.mktemp("data"), "train", a=(2, 1, 1, 2), b=(1, 2, 1, 1))


def at(step: int) -> Progress:
    return Progress(in_epoch=step, steps=step, pictures=step)


def spoil(pair: UnpairedBatch) -> UnpairedBatch:
    return replace(
        pair, domains={**pair.domains, "A": pair["A"].with_image(torch.full_like(pair["A"].image, float("nan")))}
    )


def spoil_loader(monkeypatch, *stems: str) -> None:
    """Pictures of A with these names are read as not-a-number."""
    steps = TrainingLoader.steps

    def spoilt(loader, epoch, done):
        for pairs in steps(loader, epoch, done):
            yield [spoil(pair) if any(Path(path).stem in stems for path in pair.paths["A"]) else pair for pair in pairs]

    monkeypatch.setattr(TrainingLoader, "steps", spoilt)


def tensors(state: Any) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return [tensor for part in parts for tensor in tensors(part)]


def saved(folder: Path) -> dict[str, Any]:
    """The run's latest checkpoint, after holding it to being finite in all that it keeps, pools included."""
    state = RunFolder(folder, "run").load("latest")
    assert all(tensor.isfinite().all() for tensor in tensors({**state, "options": 0}))
    return state


def weights_of(state: dict[str, Any]) -> list[torch.Tensor]:
    """All but the vectors of the power iteration, which follow the weights."""
    found = {f"{name}.{key}": one for name, net in state["networks"].items() for key, one in net.items()}
    return [tensor for name, tensor in found.items() if not name.endswith(("._u", "._v"))]


@pytest.mark.parametrize("method", METHODS, ids=" ".join)
def test_stop_names_the_pictures_keeps_the_weights_and_can_be_gone_on_from(method, data, tmp_path, monkeypatch, capsys):
    flags = ("--model", *method, *FLAGS)
    assert train(data, tmp_path, *flags, "--max_steps", "2") == 0
    before = saved(tmp_path)
    capsys.readouterr()
    with monkeypatch.context() as patch:
        spoil_loader(patch, "a2")
        assert train(data, tmp_path, *flags, "--continue_train") == 1
    error = capsys.readouterr().err
    line = error.strip().splitlines()[-1]
    assert line.startswith("train.py: step 3 is not finite in G_A (nan), cyc_A (nan)")
    assert "the gradients of G, the gradients of D, on the pictures" in line
    assert "a2.png" in line and "b2.png" in line and "a1.png" not in line
    after = saved(tmp_path)
    assert after["progress"]["steps"] == 3
    assert_equal(weights_of(after), weights_of(before))
    assert_equal(after["optimizers"], before["optimizers"])
    assert train(data, tmp_path, *flags, "--continue_train") == 0
    assert saved(tmp_path)["progress"]["steps"] == 4


@pytest.mark.parametrize("method", METHODS, ids=" ".join)
def test_skip_goes_on_and_counts(method, data, tmp_path, monkeypatch, capsys):
    spoil_loader(monkeypatch, "a0", "a2")
    assert train(data, tmp_path, "--model", *method, *FLAGS, "--on_nan", "skip", "--print_freq", "1") == 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.partition(" is")[0] for line in lines if "not finite in" in line] == ["step 1", "step 3"]
    assert any(line.startswith("done at step 4") and "steps that were not finite: 2 (" in line for line in lines)
    state = saved(tmp_path)
    assert state["progress"]["steps"] == 4
    updates = {moment["step"].item() for moment in state["optimizers"]["G"]["state"].values()}
    assert updates == {2.0}
    assert all(len(pool["rows"]) for pool in state["pools"].values())


@pytest.mark.parametrize("on_nan", ["stop", "skip"])
def test_weights_that_are_not_finite_are_not_saved(on_nan, data, tmp_path, monkeypatch, capsys):
    assert train(data, tmp_path, *FLAGS, "--max_steps", "1") == 0
    before = (tmp_path / "run" / "latest.pth").read_bytes()
    restore = train_program.train.__globals__["make_ready"]

    def broken(*given):
        run = restore(*given)
        next(run.model.networks["G_A"].parameters()).data[0] = float("inf")
        return run

    monkeypatch.setattr(train_program, "make_ready", broken)
    assert train(data, tmp_path, *FLAGS, "--continue_train", "--save_latest_freq", "1", "--on_nan", on_nan) == 1
    assert "neither are the weights" in capsys.readouterr().err.strip().splitlines()[-1]
    assert (tmp_path / "run" / "latest.pth").read_bytes() == before


def program(rank: int, argv: list[str]) -> int:
    with pytest.MonkeyPatch.context() as patch:
        spoil_loader(patch, "a1")
        return train_program.main(argv)


@pytest.mark.parametrize("on_nan", ["stop", "skip"])
def test_all_ranks_stop_or_go_on_together(on_nan, data, tmp_path):
    """The picture is read by the second rank; the first one tells."""
    argv = ["--dataroot", str(data), "--checkpoints_dir", str(tmp_path), *tiny(*FLAGS), "--on_nan", on_nan]
    first, second = fork(2, tmp_path, program, argv)
    assert (first.result, second.result) == ((1, 1) if on_nan == "stop" else (0, 0)), first.errors
    assert "step 1 is not finite" in first.errors and "a1.png" in first.errors and "a0.png" in first.errors
    assert second.errors == ""
    assert saved(tmp_path)["progress"]["steps"] == (1 if on_nan == "stop" else 2)


def test_warnings_end_but_counting_does_not():
    model, warnings = small_model(), []
    check = FiniteCheck(model, ALONE, "skip", warnings.append)
    for number in range(1, WARNINGS + 4):
        check.step(at(number - 1), at(number), {"G_A": torch.tensor(float("inf"))}, [random_pair([1], [1])])
    assert len(warnings) == WARNINGS and "only counted" in warnings[-1] and "only" not in warnings[-2]
    assert check.found == WARNINGS + 3


def test_gradients_alone_are_enough_and_are_told_once():
    model = small_model()
    check, pair = FiniteCheck(model, ALONE), random_pair([1], [1])
    check.step(at(0), at(1), {"G_A": torch.ones(())}, [pair])
    weight = next(model.networks["D_A"].parameters())
    weight.grad = torch.full_like(weight, float("nan"))
    step([model.optimizer_D])
    with pytest.raises(NotFiniteError, match=r"step 2 is not finite in the gradients of D, on the pictures a0, b0"):
        check.step(at(1), at(2), {"G_A": torch.ones(())}, [pair])
    check.step(at(2), at(3), {"G_A": torch.ones(())}, [pair])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_a_refused_step_is_no_step(value):
    """1e30 is finite, but its square, which Adam averages, is not."""
    layers = [torch.nn.Linear(2, 1, bias=False) for _ in range(2)]
    weights = [torch.nn.init.ones_(layer.weight) for layer in layers]
    optimizers = [GuardedAdam([layer], 0.1, 0.5) for layer in layers]
    for number, gradient in enumerate(([1.0, 2.0], [0.0, value], [3.0, 0.5])):
        for weight, optimizer in zip(weights, optimizers, strict=True):
            weight.grad = torch.tensor([gradient])
            if number != 1 or optimizer is optimizers[0]:
                step([optimizer])
            weight.grad = None
    assert torch.equal(*weights)
    assert_equal(*(optimizer.state_dict() for optimizer in optimizers))
    assert [optimizer.refused.item() for optimizer in optimizers] == [1, 0]


def test_the_guard_changes_no_number():
    """Beside torch's own fused Adam."""
    torch.manual_seed(0)
    values, rows = torch.randn(50), []
    for guarded in (True, False):
        layer = torch.nn.Linear(50, 1, bias=False)
        weight = layer.weight
        weight.data.copy_(values)
        plain = torch.optim.Adam([weight], 0.01, (0.5, 0.999), fused=True)
        optimizer = GuardedAdam([layer], 0.01, 0.5) if guarded else plain
        for number in range(5):
            weight.grad = values.roll(number)[None]
            step([optimizer]) if guarded else optimizer.step()
        rows.append(weight)
    assert torch.equal(*rows)


def test_a_pool_forgets_what_is_not_finite_and_never_saves_it():
    pool, fine = ImagePool(5), random_batch([1, 2])
    pool.query(fine)
    pool.query(fine.with_image(torch.full_like(fine.image, float("nan"))))
    assert len(pool.rows) == 4 and len(pool.state_dict()["rows"]) == 2
    pool.forget_not_finite()
    assert len(pool.rows) == 2 and torch.equal(pool.rows[1].image, fine.image[1:])
