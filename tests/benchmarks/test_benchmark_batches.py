"""The study of batch sizes: a run ends when the demo's figures are good, is repeatable, and is not run twice."""

import json
from pathlib import Path

import pytest

from benchmarks import benchmark
from benchmarks.speed import demo_figures
from benchmarks.speed.batch_runs import Cell, Study
from benchmarks.speed.demo_figures import Validation
from evaluation import shapes
from evaluation.shapes import Figures
from tests.programs import sentence

TINY = (
    "--size", "32", "--ngf", "4", "--train", "4", "--val", "2", "--every", "4", "--epochs", "2", "--repeats", "1",
    "--rates", "sqrt", "linear", "--seeds", "0", "--device", "cpu",
)  # fmt: skip


def figures_of(file: Path, *flags: str) -> dict:
    assert benchmark.main(["batches", *TINY, "--json", str(file), *flags]) == 0
    return json.loads(file.read_text())


def perfect() -> dict[str, Figures]:
    return dict.fromkeys(("A_to_B", "B_to_A"), Figures(2, 4, 1.0, 0.01, 1.0))


def test_a_study_ends_is_repeatable_and_goes_on(tmp_path, capsys, monkeypatch):
    file = tmp_path / "batches.json"
    first = figures_of(file, "--batch_size", "1")
    (run,) = first["runs"]  # with a batch of 1 all rates are one
    assert (run["batch_size"], run["lr"], run["seed"], run["ended"]) == (1, 5e-4, 0, "not good")
    assert [(look["pictures"], look["steps"]) for look in run["looks"]] == [(4, 4), (8, 8)]
    assert first["settings"]["background_error"] == shapes.LARGEST_BACKGROUND
    assert figures_of(tmp_path / "again.json", "--batch_size", "1")["runs"] == first["runs"]

    trained = []
    real = Study.run
    monkeypatch.setattr(Study, "run", lambda study, folder, cell: trained.append(cell) or real(study, folder, cell))
    capsys.readouterr()
    both = figures_of(file, "--batch_size", "1", "2")
    assert [(cell.batch_size, round(cell.lr / 5e-4, 3)) for cell in trained] == [(2, 1.414), (2, 2.0)]
    assert both["runs"][0] == run and [one["steps"] for one in both["runs"]] == [8, 4, 4]
    assert set(both["seconds_per_step"]) == {"1", "2"}
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[3:]]
    assert [row[:6] for row in rows] == [
        ["1", "sqrt", "0.0005", "0", "of", "1"],
        ["2", "sqrt", "0.000707", "0", "of", "1"],
        ["2", "linear", "0.001", "0", "of", "1"],
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.json", "batches.json"]


def test_a_run_ends_as_soon_as_all_figures_are_good(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Validation, "figures", lambda self, model: perfect())
    (run,) = figures_of(tmp_path / "batches.json", "--batch_size", "2", "--rates", "unchanged")["runs"]
    assert (run["ended"], run["pictures"], run["steps"], len(run["looks"])) == ("good", 4, 2, 1)
    assert "1 of 1" in capsys.readouterr().out


def test_only_what_is_not_good_is_trained_for_longer(tmp_path, capsys, monkeypatch):
    reached = {2: False, 3: True, 5: True}

    def run(study: Study, folder: Path, cell: Cell) -> dict:
        ended = "good" if reached[cell.epochs] else "not good"
        return {"ended": ended, "pictures": 4 * cell.epochs, "steps": 4 * cell.epochs, "looks": []}

    monkeypatch.setattr(Study, "run", run)
    runs = figures_of(tmp_path / "batches.json", "--batch_size", "1", "--epochs", "5", "2", "3")["runs"]
    assert [(one["epochs"], one["ended"]) for one in runs] == [(2, "not good"), (3, "good")]
    assert capsys.readouterr().out.splitlines()[-1].split()[3:9] == ["1", "of", "1", "3", "12", "12"]


def test_one_bad_direction_is_not_good():
    assert demo_figures.good(perfect())
    bad = perfect() | {"B_to_A": Figures(2, 4, 1.0, 0.05, 0.9)}
    assert not demo_figures.good(bad) and demo_figures.worst(bad) == (1.0, 0.05, 0.9)


def test_a_run_that_diverges_is_told(tmp_path, capsys):
    (run,) = figures_of(tmp_path / "batches.json", "--batch_size", "1", "--lr", "1e30")["runs"]
    assert run["ended"] == "diverged" and run["pictures"] == 4
    assert "diverged after 4 pictures" in capsys.readouterr().err


def test_the_figures_are_those_of_test_and_measure_shapes(tmp_path):
    """A model that changes nothing: backgrounds are kept, no instance is one of the other domain."""
    study = Study(size=32, ngf=4, train=1, val=3, every=1, device="cpu")
    study.draw(tmp_path)
    run = study.ready(tmp_path, Cell(1, 5e-4, 0, 1))
    validation = Validation.of(run.resolved.values, run.device)

    class Nothing:
        def translate(self, source, to):
            return source

    for figures in validation.figures(Nothing()).values():
        assert (figures.pictures, figures.shape_share, figures.colour_share) == (3, 0, 0)
        assert figures.instances >= 3 and figures.background_error == 0


@pytest.mark.parametrize("content", ["{", "[]", '{"command": "step"}'])
def test_another_file_is_left_alone(tmp_path, capsys, content):
    file = tmp_path / "other.json"
    file.write_text(content)
    assert "holds something else" in sentence(capsys, benchmark.main, "batches", *TINY, "--json", file)
    assert file.read_text() == content


def test_a_study_with_other_settings_is_not_mixed(tmp_path, capsys):
    file = tmp_path / "batches.json"
    settings = {"size": 32, "ngf": 8, "train": 4, "val": 2, "every": 4} | demo_figures.GOOD
    file.write_text(json.dumps({"settings": settings, "runs": []}))
    assert "a study with ngf 8" in sentence(capsys, benchmark.main, "batches", *TINY, "--json", file)
