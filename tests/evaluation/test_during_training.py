"""Evaluation during training: it changes nothing of the run, is logged, and keeps the best checkpoint."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.run_folder import RunFolder
from engine.schedule import Progress
from evaluation.during_training import DuringTraining
from instagan.metrics import classifier
from instagan.structures.directions import Direction
from instagan.structures.one_way import OneWayTranslator
from options.parse import parse_training
from tests.engine.test_resume import assert_equal
from tests.evaluating import draw_shapes, report_of, values
from tests.programs import draw_set, sentence, tiny, train, train_program, translate

RUN = (
    "--name", "run", "--niter", "2", "--niter_decay", "2", "--print_freq", "1", "--save_epoch_freq", "0", "--ema", "0.9"
)  # fmt: skip
EVAL = ("--eval_freq", "2", "--eval_size", "3", "--eval_metrics", "background_mae", "instance_score", "kid")
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "STEPS", 10)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = draw_set(tmp_path_factory.mktemp("data"), "train", a=[4, 1, 2], b=[2, 3, 1])
    return draw_set(root, "val", a=[2, 1, 0, 3], b=[1, 2, 2])


@pytest.fixture(scope="module")
def watched(data, tmp_path_factory) -> Path:
    checkpoints = tmp_path_factory.mktemp("watched")
    assert train(data, checkpoints, *RUN, *EVAL) == 0
    return checkpoints / "run"


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "loss_log.jsonl").read_text().splitlines()]


def state(path: Path) -> dict:
    found = torch.load(path, weights_only=True)
    found.pop("launch")
    return found


def test_a_run_that_is_evaluated_is_the_run_that_is_not(data, watched, tmp_path):
    assert train(data, tmp_path, *RUN, "--no_html") == 0
    one, other = (state(run / "latest.pth") for run in (watched, tmp_path / "run"))
    assert_equal(one, other)
    plain = [{k: v for k, v in line.items() if k.startswith(("G_", "D_", "step"))} for line in lines(tmp_path / "run")]
    assert plain == [
        {k: v for k, v in line.items() if k.startswith(("G_", "D_", "step"))}
        for line in lines(watched)
        if not any(name.startswith("val_") for name in line)
    ]


def test_figures_are_logged_and_shown(watched):
    logged = [line for line in lines(watched) if "val_balance_A" in line]
    assert [line["step"] for line in logged] == [2, 4, 6, 8, 10, 12]
    names = {
        f"val_{name}_{letter}" for name in ("background_mae", "instance_score", "kid", "balance") for letter in "AB"
    }
    assert all(set(line) == names | {"step", "epoch", "pictures"} for line in logged)
    page = (watched / "web" / "index.html").read_text()
    assert "Validation" in page and "Background error" in page and "Learning rate" in page


def test_the_best_checkpoint_is_kept(data, watched, tmp_path):
    logged = {line["step"]: line for line in lines(watched) if "val_balance_A" in line}
    scores = {step: (line["val_balance_A"] + line["val_balance_B"]) / 2 for step, line in logged.items()}
    note = json.loads((watched / "best.json").read_text())
    first = min(step for step, score in scores.items() if score == max(scores.values()))
    assert (note["step"], note["value"], note["metric"]) == (first, pytest.approx(scores[first]), "balance")
    assert state(watched / "best.pth")["progress"]["steps"] == first
    flags = ("--name", "run", "--phase", "val", "--epoch", "best", "--direction", "AtoB")
    assert translate(data, watched.parent, tmp_path, *flags) == 0
    assert (tmp_path / "run" / "val_best" / "a0_fake_B.png").exists()


def test_what_is_logged_is_what_evaluate_finds_of_that_checkpoint(data, watched, tmp_path):
    note = json.loads((watched / "best.json").read_text())
    report = report_of(tmp_path / "out", "--run", watched, "--epoch", "best", "--num_test", 3)
    assert report["step"] == note["step"]
    for way, letter in (("AtoB", "A"), ("BtoA", "B")):
        found = values(report, way)
        for name in ("background_mae", "instance_score", "kid", "balance"):
            assert found[name] == pytest.approx(note["figures"][f"{name}_{letter}"], rel=1e-6), name


def test_a_resumed_run_goes_on_comparing(data, watched, tmp_path):
    assert train(data, tmp_path, *RUN, *EVAL, "--max_steps", "5") == 0
    assert train(data, tmp_path, "--name", "run", "--continue_train") == 0
    assert_equal(*(state(run / "latest.pth") for run in (watched, tmp_path / "run")))
    assert (tmp_path / "run" / "best.json").read_text() == (watched / "best.json").read_text()
    assert_equal(*(state(run / "best.pth") for run in (watched, tmp_path / "run")))
    assert train(data, tmp_path, *RUN, "--max_steps", "1", "--overwrite", "--no_html") == 0
    assert not (tmp_path / "run" / "best.json").exists() and not (tmp_path / "run" / "best.pth").exists()


def evaluation_of(root: Path, *flags: str) -> DuringTraining:
    return DuringTraining.of(parse_training(["--dataroot", str(root), *tiny(*flags)]).values, CPU)


class Untrained:
    """A method with nothing in it but what a checkpoint asks for."""

    networks = torch.nn.ModuleDict()
    pools: dict = {}
    averages = None

    def optimizers(self) -> dict:
        return {}

    def translators(self) -> dict:
        return {}


class Replay:
    """An evaluation whose figures are told beforehand, and a method that has nothing."""

    def __init__(self, evaluation: DuringTraining, scores: list[float]) -> None:
        self.evaluation, self.scores = evaluation, iter(scores)

    def play(self, folder: RunFolder, monkeypatch) -> list[str]:
        remarks = []
        monkeypatch.setattr(DuringTraining, "figures", lambda *_: {f"{self.evaluation.best}_A": next(self.scores)})
        model = Untrained()
        for step in range(1, 5):
            now = Progress(steps=step)
            self.evaluation.run(model, CPU, folder, now, lambda _, __, remark, ___: remarks.append(remark))
        return remarks


@pytest.mark.parametrize(
    ("metric", "scores", "best"),
    [("balance", [0.2, 0.5, 0.5, 0.4], 2), ("fid", [3.0, 2.0, 2.5, 1.0], 4), ("balance", [0.3, np.nan, 0.2, 0.1], 1)],
)
def test_best_means_lowest_or_highest_and_the_first_of_equals(metric, scores, best, data, tmp_path, monkeypatch):
    folder = RunFolder(tmp_path, "run")
    folder.create()
    evaluation = evaluation_of(data, "--eval_freq", "1", "--best_metric", metric)
    remarks = Replay(evaluation, scores).play(folder, monkeypatch)
    assert json.loads(folder.best_note.read_text())["step"] == best
    assert "saved as best" in remarks[best - 1] and "best so far" in remarks[-1] or best == 4
    assert folder.read_best("picture_score") is None  # chosen by another metric


def test_the_embedded_example_has_its_truth(tmp_path):
    root = draw_shapes(tmp_path / "shapes", train=6, val=3)
    flags = ("--eval_freq", "1", "--eval_metrics", "truth_both", "agreement", "--best_metric", "truth_both")
    evaluation = evaluation_of(root, *flags)
    assert set(evaluation.metrics) == {"truth_both", "agreement"} and not evaluation.classifiers
    identity = torch.nn.Module()
    identity.translate = lambda source, to, style: source
    identity.translators = lambda: {Direction(*way): OneWayTranslator(identity) for way in ("AB", "BA")}
    assert evaluation.figures(identity, CPU) == dict.fromkeys(
        ("truth_both_A", "agreement_A", "truth_both_B", "agreement_B"), 0.0
    )


def test_wrong_input_is_one_sentence(data, tmp_path, capsys):
    few = draw_set(tmp_path / "few", "train", a=[1], b=[1])
    draw_set(few, "val", a=[1], b=[1])
    bare = draw_set(tmp_path / "bare", "train", a=[1, 1], b=[1, 1])
    start = ("--dataroot", str(data), "--checkpoints_dir", str(tmp_path / "runs"), *tiny(), "--name", "run")
    cases = (
        (("--eval_freq", "1", "--eval_phase", "trial"), "use --eval_phase"),
        (("--eval_freq", "1", "--eval_metrics", "truth_both"), "make_shapes.py"),
        (("--eval_freq", "1", "--eval_metrics", "background_lpips"), "invalid choice"),
        (("--eval_freq", "1", "--best_metric", "change"), "invalid choice"),
        (("--eval_freq", "1", "--dataroot", str(few)), "needs 4 real instances of each domain"),
        (("--eval_freq", "1", "--dataroot", str(bare)), "no such folder"),
    )
    for flags, says in cases:
        assert says in sentence(capsys, train_program.main, *start, *flags), flags
    assert not (tmp_path / "runs" / "run" / "latest.pth").exists()
