"""A study: runs are kept and resumed, known translations have known figures, tables follow from the files."""

import copy
import json

import pytest
import torch
import yaml

from benchmarks import study
from benchmarks.studies import report, tables, training
from benchmarks.studies.plan import SECONDS, UPDATES, chosen, read_plan
from instagan.errors import InputError
from instagan.metrics import look_classifier
from scripts import make_streets
from tests.programs import ROOT, sentence

SIZES = {"load_size_w": 48, "load_size_h": 32, "fine_size_w": 48, "fine_size_h": 32, "ngf": 4, "ndf": 4}
TINY = {
    "title": "Tiny",
    "judge": "streets",
    "dataroot": "{runs}/data",
    "images": 2,
    "styles": 2,
    "seeds": [0],
    "budgets": {"updates": 3},
    "values": {"val": 2},
    "prepare": [
        {"makes": "{runs}/data", "command": "scripts/make_streets.py --save_root {dataroot} --train 4 --val {val}"}
    ],
    "flags": {"device": "cpu", "num_threads": 0, **SIZES, "n_layers_D": 2},
    "methods": {
        "cycle_gan": {"title": "CycleGAN", "flags": {"model": "cycle_gan", "netG": "resnet_6blocks"}},
        "munit": {"title": "MUNIT", "flags": {"model": "munit", "n_res": 1, "mlp_dim": 8, "num_scales": 1}},
    },
}


@pytest.fixture(autouse=True)
def quick_classifier(monkeypatch):
    monkeypatch.setattr(look_classifier, "STEPS", 5)


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "streets"
    flags = ["--train", "4", "--val", "2", "--test", "0", "--size", "48", "32"]
    assert make_streets.main(["--save_root", str(folder), *flags]) == 0
    return folder


def written(folder, **changes):
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump({**TINY, **changes}))
    return file


def test_a_stopped_run_becomes_what_it_would_have_been(dataroot, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
    plan = read_plan(written(tmp_path, dataroot=str(dataroot), prepare=[]))
    whole = training.train(plan, tmp_path / "whole", "cycle_gan", 1)

    step, steps = training.MeasuredTraining.step, []

    def killed(self):
        step(self)
        steps.append(self.steps)
        if len(steps) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.MeasuredTraining, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        training.train(plan, tmp_path / "stopped", "cycle_gan", 1)
    again = training.train(plan, tmp_path / "stopped", "cycle_gan", 1)
    assert steps == [1, 2, 2, 3]  # the second one was lost, and made again
    assert whole[UPDATES]["steps"] == again[UPDATES]["steps"] == 3
    folders = [training.translations(tmp_path / name, "cycle_gan", 1, UPDATES) for name in ("whole", "stopped")]
    names = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    assert names[0] == names[1] and len([name for name in names[0] if "_fake_" in name]) == 4
    assert all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in names[0])
    weights = [torch.load(folder.parent / "latest.pth", weights_only=True)["networks"] for folder in folders]
    for name, network in weights[0].items():
        assert all(torch.equal(value, weights[1][name][key]) for key, value in network.items())


def test_known_translations_have_known_figures(dataroot, tmp_path):
    plan = read_plan(written(tmp_path, dataroot=str(dataroot), prepare=[]))
    study.Study(plan, tmp_path / "runs").measure_references()
    rows = json.loads((tmp_path / "runs" / "references.json").read_text())["rows"]
    for way, styles in (("A_to_B", 3), ("B_to_A", 2)):
        truth, same = rows["truth"][way], rows["identity"][way]
        assert truth["error"] == 0 and truth["look"] == truth["found"] == 1 and truth["styles_reached"] == styles
        assert same["look"] == 0 and same["found"] == 1 and same["diversity"] is None
        assert rows["colour_of_one"][way]["diversity"] > 0 and rows["colour_of_all"][way]["diversity"] is None
        assert truth["error"] < rows["colour_of_all"][way]["error"] < same["error"]


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"budgets": {}}, "budgets"),
        ({"budgets": {"hours": 1}}, "hours"),
        ({"judge": "nobody"}, "nobody"),
        ({"seeds": []}, "seeds"),
        ({"methods": {"munit": {"config": "configs/none.yaml"}}}, "configs/none.yaml"),
        ({"methods": {"munit": {"flags": {}}}}, "no model"),
        ({"methods": {"munit": ["model"]}}, "munit"),
        ({"prepare": [{"makes": "x", "command": "y", "for": ["dunit"]}]}, "dunit"),
        ({"dataroot": "{where}/data"}, "{where}"),
        ({"sizes": 3}, "sizes"),
    ],
)
def test_a_wrong_plan_is_one_sentence(changes, named, tmp_path, capsys):
    told = sentence(capsys, study.main, written(tmp_path, **changes), "--runs", tmp_path / "runs")
    assert named in told


def test_other_wrong_input_is_one_sentence(tmp_path, capsys):
    assert "none.yaml" in sentence(capsys, study.main, tmp_path / "none.yaml")
    plan = written(tmp_path)
    assert "--methods star" in sentence(capsys, study.main, plan, "--methods", "star", "--runs", tmp_path)
    assert "--report" in sentence(capsys, study.main, plan, "--report", "--runs", tmp_path)
    (tmp_path / "munit-seed0.json").write_text("[]")
    assert "munit-seed0.json" in sentence(capsys, study.main, plan, "--report", "--runs", tmp_path)
    run = run_of("munit", 0, 0.1, 0.5)
    run["settings"] |= dict.fromkeys(study.COMMON) | run["settings"]
    (tmp_path / "munit-seed0.json").write_text(json.dumps(run))
    assert "references.json: no such file" in sentence(capsys, study.main, plan, "--report", "--runs", tmp_path)


def test_the_yaml_fills_in_flags(tmp_path):
    plan = read_plan(ROOT / "benchmarks" / "streets.yaml")
    flags = plan.flags("dunit", 2, tmp_path)
    assert flags[flags.index("--detector_weights") + 1] == str(tmp_path / "detector.pth")
    assert flags[flags.index("--seed") + 1] == "2" and flags[flags.index("--num_threads") + 1] == "0"
    assert [plan.told(one.makes, tmp_path) for one in plan.prepare][0] == plan.told(plan.dataroot, tmp_path)
    quick = read_plan(ROOT / "benchmarks" / "streets.yaml", quick=True)
    assert quick.budgets == {UPDATES: 2} and quick.values["train"] < plan.values["train"]
    assert chosen(plan, ["munit", "cut"], None)[:3] == [("munit", 0), ("cut", 0), ("munit", 1)]
    settings = plan.settings("munit")
    assert settings["flags"]["ngf"] == 12 and "seed" not in settings["flags"]


def run_of(title: str, seed: int, error: float, found: float) -> dict:
    figures = {"error": error, "found": found, "classes": {"car": {"error": error / 2}}}
    look = {
        "steps": 6, "updates": 6, "seconds": 3.0, "memory": 2**30, "seconds_per_picture": {"A_to_B": 0.25},
        "parameters": {"A_to_B": 1_500_000}, "figures": {"A_to_B": figures},
    }  # fmt: skip
    settings = {"judge": "streets", "budgets": {SECONDS: 3.0}, "styles": 2, "protocol": 1}
    facts = {"method": title.lower(), "title": title, "seed": seed, "torch": "2.0", "settings": settings}
    return {**facts, "looks": {SECONDS: copy.deepcopy(look)}}


def cells(table: str) -> dict[str, dict[str, str]]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {row[0]: dict(zip(lines[0], row, strict=True)) for row in lines[2:]}


def test_tables_show_means_and_the_best():
    runs = [run_of("One", 0, 0.1, 0.5), run_of("One", 1, 0.3, 0.7), run_of("Other", 0, 0.25, 0.6)]
    references = {"truth": {"A_to_B": {"error": 0.0, "found": 1.0}}}
    first, second = (cells(one) for one in tables.measured_tables(runs, references, "streets", SECONDS, "A_to_B"))
    assert first["One"]["error"] == "**0.200 ± 0.141**" and first["Other"]["error"] == "0.250"
    assert first["*true renderings*"]["error"] == "0.000" and first["One"]["diversity"] == "-"
    assert first["One"]["found at box"].startswith("60%") and first["Other"]["found at box"] == "60%"  # both are
    assert second["Other"]["error, cars"] == "0.125" and second["Other"]["error, signs"] == "-"
    assert tables.measured_tables(runs, references, "streets", SECONDS, "B_to_A") == []
    cost = cells(tables.cost_table(runs, [SECONDS]))
    assert cost["One"]["seeds"] == "2" and cost["One"]["updates in the time"] == "6 ± 0"
    assert cost["Other"]["seconds per update"] == "0.50" and cost["Other"]["memory (MiB)"] == "1024"
    assert cost["Other"]["weights (million)"] == "1.50"


def test_a_document_keeps_what_stands_around_the_marks(tmp_path):
    document = tmp_path / "page.md"
    document.write_text(f"# Title\n\n{report.begin_of('tiny')}\nold\n{report.end_of('tiny')}\n\nby hand\n")
    report.put_into(document, "tiny", "new")
    text = document.read_text()
    assert text.startswith("# Title") and text.endswith("by hand\n") and "new" in text and "old" not in text
    with pytest.raises(InputError, match="other: "):
        report.put_into(document, "other", "new")


def test_the_committed_page_is_what_the_committed_files_give(tmp_path):
    page = ROOT / "docs" / "benchmark.md"
    text = page.read_text()
    kept = ROOT / "docs" / "benchmark_runs"
    for name in ("streets", "shapes"):
        _, begun, rest = text.partition(report.begin_of(name))
        assert begun and report.end_of(name) in rest
        drawn = rest.partition(report.end_of(name))[0].strip()
        if not (kept / name).is_dir():
            assert not drawn, f"{page} shows results of {name}, which are not in {kept}"
            continue
        document = tmp_path / page.name
        document.write_text(text)
        flags = ["--report", "--runs", str(kept / name), "--document", str(document)]
        assert study.main([str(ROOT / "benchmarks" / f"{name}.yaml"), *flags]) == 0
        assert document.read_text() == text
