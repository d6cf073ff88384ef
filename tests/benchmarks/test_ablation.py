"""The ablation: figures are known where translations are, runs are kept and resumed, the document follows from them."""

import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import ablation
from benchmarks.ablations import measured, report, tables
from benchmarks.ablations.figure import COLOURS
from benchmarks.ablations.methods import METHODS, ONE_STEP, PAPER, SEQUENTIAL, inferring
from benchmarks.ablations.references import COLOUR, NOTHING, PAINT, PERFECT, known_translations
from benchmarks.ablations.study import STEPS, TIME, Study, at, cells, counts_of, read_references, read_run, run_file
from benchmarks.ablations.tables import FIGURES
from benchmarks.ablations.validation import NOBODY, Validation, shares, taken_last, territories
from instagan.io.sealed import save_sealed
from instagan.io.tensor_files import read_checkpoint
from tests.batches import trained_on
from tests.programs import ROOT, sentence

TINY = Study("hard", size=48, ngf=4, train=4, val=6, steps=2, seconds=0.001, lr=5e-4)
FLAGS = ("--quick", "--seeds", "0", "--train", "4", "--steps", "2", "--seconds", "0.001", "--times", "1")


def run_of(method: str, seed: int, translated: int, background: float = 0.02, seconds: float = 60.0) -> dict:
    """A run as a file holds it: of 10 instances in pictures of 1 and as many in those of 8 so many are translated."""
    masks = method != "cycle_gan"
    sums = {
        "pictures": 10, "instances": 10, "translated": translated, "instances_with_masks": 10 * masks,
        "masks": 5 * masks, "colour": 10, "background": background * 100, "background_pixels": 100,
        "distractors": 0.0, "distractor_pixels": 0,
    }  # fmt: skip
    looks = [{"to": "b", "count": count, **sums} for count in (1, 8)]
    look = {
        "steps": 7, "seconds": seconds, "losses": {"G_A": 0.25, "G_B": 0.75},
        "inference": dict.fromkeys(METHODS[method].inference, looks),
    }  # fmt: skip
    settings = Study("hard", 64, 12, 100, 30, 400, 160.0, 5e-4).settings()
    run = {
        "settings": settings, "method": method, "seed": seed, "parameters": 1000, "torch": "2.0",
        "curve": [{"budget": budget, "times": 1, **copy.deepcopy(look)} for budget in (STEPS, TIME)],
    }  # fmt: skip
    return at(run, 1)


def three_seeds(**translated: tuple[int, int, int]) -> list[dict]:
    return [run_of(method, seed, of[seed]) for method, of in translated.items() for seed in range(3)]


def rows(text: str, heading: str) -> dict[str, list[str]]:
    """The table that follows a heading or line: first cell -> all cells."""
    lines = text.partition(heading)[2].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    cells_of = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start:] if line[:1] == "|"]
    stop = next((number for number, line in enumerate(lines[start:]) if not line.startswith("|")), len(lines))
    return {row[0]: row for row in cells_of[:stop]}


@pytest.fixture(scope="module", params=["hard", "decoys"])
def validation(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    study = Study(request.param, size=64, ngf=4, train=4, val=6, steps=1, seconds=1.0, lr=5e-4)
    dataroot = study.draw(folder)
    return Validation.of(study.ready(folder, "cycle_gan", 0).resolved.values), dataroot


def test_known_translations_have_known_figures(validation):
    looked, dataroot = validation
    found = {name: shares(looked.look(known)) for name, known in known_translations(dataroot).items()}
    perfect, nothing, paint = (found[name] for name in (PERFECT, NOTHING, PAINT))
    assert perfect["translated"] >= 0.95 and perfect["masks"] >= 0.95 and perfect["colour"] == 1
    assert perfect["colour_earlier"] == perfect["colour_last"] == 1
    assert perfect["background"] < 0.001 and perfect["distractors"] < 0.001
    assert set(nothing) == {*FIGURES, "colour_earlier", "colour_last"} and not any(nothing.values())
    assert paint["translated"] == found[COLOUR]["translated"] == 0 and paint["colour"] == found[COLOUR]["colour"] == 1
    assert paint["background"] > 0.2 and paint["distractors"] > 0.2


def test_half_of_the_instances_translated_is_half(validation):
    """In pictures of two instances, the first is translated and the other is not: in picture and masks."""
    looked, dataroot = validation
    perfect = known_translations(dataroot)[PERFECT]

    class Half:
        def translate(self, source, to):
            whole = perfect.translate(source, to)
            mine = torch.from_numpy(
                np.stack([scene.territory == 0 for scene in looked.directions["ba".index(to)].scenes])
            )
            image = torch.where(mine[:, None], whole.image, source.image)
            masks = torch.cat([whole.masks[:, :1], source.masks[:, 1:]], dim=1)
            return type(source)(image, masks, source.present, source.labels)

    sums = [one for one in looked.look(Half()) if one["count"] == 2]
    assert sum(one["instances"] for one in sums) == 4
    assert shares(sums)["translated"] == shares(sums)["masks"] == shares(sums)["colour"] == 0.5


def test_what_is_taken_last_is_smallest():
    masks = [np.zeros((20, 20), bool) for _ in range(5)]
    for mask, size in zip(masks, (3, 9, 5, 7, 2), strict=True):
        mask[:size, :size] = True
    assert taken_last(masks) == [4] and taken_last(masks[:4]) == [2, 0]
    assert taken_last(masks[:2]) == taken_last(masks[:1]) == []


def test_a_territory_is_what_is_near_and_nearest():
    one, other = np.zeros((50, 50), bool), np.zeros((50, 50), bool)
    one[20:30, 10:20], other[20:30, 22:32] = True, True
    near, found = territories([one, other])
    assert near[0, 25, 23] and near[1, 25, 18] and not near[0, 25, 30]
    assert (found[one] == 0).all() and (found[other] == 1).all()
    assert found[25, 20] == 0 and found[25, 21] == 1 and found[25, 8] == 0
    assert found[25, 5] == found[40, 15] == NOBODY


def test_inference_takes_all_instances_and_leaves_the_model_alone(tmp_path):
    TINY.draw(tmp_path)
    ready = TINY.ready(tmp_path, "sequential", 0)
    model, batch = ready.model, Validation.of(ready.resolved.values).directions[0].batch
    assert batch.slot_count == 8 and model.ins_max == 4
    found = {scheme: inferring(model, scheme).translate(batch) for scheme in (ONE_STEP, SEQUENTIAL)}
    assert all(torch.equal(fake.present, batch.present) for fake in found.values())
    few, many = (batch.present.sum(1) <= 2), (batch.present.sum(1) > 2)
    assert torch.allclose(found[ONE_STEP].image[few], found[SEQUENTIAL].image[few], atol=1e-4)
    assert (found[ONE_STEP].image - found[SEQUENTIAL].image)[many].abs().amax((1, 2, 3)).min() > 1e-3
    assert (model.ins_max, model.ins_per) == (4, 2)


def test_methods_differ_in_what_they_are_named_for(tmp_path):
    TINY.draw(tmp_path)
    ready = {method: TINY.ready(tmp_path, method, 0) for method in PAPER}
    names = {
        method: set(trained_on(one.model, *next(one.updates(one.start)).pairs)[0])
        for method, one in ready.items()
    }
    assert {method for method, losses in names.items() if "ctx_A" in losses} == {"context", "sequential"}
    told = {method: vars(one.resolved.values) for method, one in ready.items()}
    assert [told[method]["ins_per"] for method in ("insta_gan", "context", "sequential")] == [4, 4, 2]
    assert {one["lambda_idt"] for one in told.values()} == {1.0}
    assert {one["lr"] for one in told.values()} == {5e-4}


def test_a_run_is_looked_at_when_each_budget_is_used_up(tmp_path, monkeypatch):
    """A clock by which every step takes a second."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(measured.time, "process_time", lambda: float(next(ticks)))
    monkeypatch.setattr(Validation, "look", lambda self, model: [])
    both = Study("hard", size=48, ngf=4, train=4, val=6, steps=2, seconds=3.5, lr=5e-4)
    both.draw(tmp_path)
    looks = both.run(tmp_path, tmp_path, "cycle_gan", 0)["looks"]
    assert (looks[STEPS]["steps"], looks[STEPS]["seconds"]) == (2, 2)
    assert (looks[TIME]["steps"], looks[TIME]["seconds"]) == (4, 4)
    assert set(looks[STEPS]["losses"]) == {f"{kind}_{way}" for kind in ("G", "D", "cyc", "idt") for way in "AB"}


def test_averages_are_looked_at_and_training_knows_nothing_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr(Validation, "look", lambda self, model: [{"weight": next(model.parameters()).sum().item()}])
    TINY.draw(tmp_path)
    newest, averages = (
        replace(TINY, ema=ema).run(tmp_path, tmp_path / str(ema), "context", 0)["curve"] for ema in (0.0, 0.5)
    )
    assert [look["losses"] for look in newest] == [look["losses"] for look in averages]
    assert [look["inference"] for look in newest] != [look["inference"] for look in averages]


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_run_that_is_stopped_and_goes_on_equals_one_that_is_not(ema, tmp_path, monkeypatch):
    """Looked at after 1, 2 and 4 steps; stopped after 1 and 3, and once more where a shorter study has ended."""
    monkeypatch.setattr(Validation, "look", lambda self, model: [{"weight": next(model.parameters()).sum().item()}])
    monkeypatch.setattr(Validation, "shown", lambda self, model: np.zeros((4, 4, 3), np.uint8))
    ticks = iter(range(10**6))  # by which a step takes a second
    monkeypatch.setattr(measured.time, "process_time", lambda: float(next(ticks)))
    tiny = Study("hard", size=48, ngf=4, train=3, val=6, steps=1, seconds=1.0, lr=5e-4, ema=ema)
    tiny.draw(tmp_path)
    kept = [tmp_path / name for name in ("whole", "parts")]
    whole = tiny.run(tmp_path, kept[0], "sequential", 1, times=4)
    for steps, times, done in ((1, 4, False), (2, 4, False), (99, 2, True), (99, 4, True)):
        left = iter(range(steps))
        part = tiny.run(tmp_path, kept[1], "sequential", 1, times, lambda left=left: next(left, None) is None)
        assert (part is not None) == done
    assert part == whole and [look["steps"] for look in whole["curve"] if look["budget"] == STEPS] == [1, 2, 4]
    assert read_run(run_file(kept[1], "sequential", 1)) == read_run(run_file(kept[0], "sequential", 1)) == whole


def test_a_training_of_a_version_without_averages_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(Validation, "look", lambda self, model: [])
    study = Study("hard", size=48, ngf=4, train=3, val=6, steps=2, seconds=1e-9, lr=5e-4)
    study.draw(tmp_path)
    assert study.run(tmp_path, tmp_path, "cycle_gan", 0, stop=lambda: True) is None
    (file,) = (tmp_path / "training").iterdir()
    state = read_checkpoint(file)
    del state["notes"]["settings"]["ema"]
    save_sealed(state, file)
    assert study.run(tmp_path, tmp_path, "cycle_gan", 0)["looks"][STEPS]["steps"] == 2


def test_end_to_end_resumed_and_reported(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ablation, "look_at_references", lambda *given: {})  # known elsewhere
    methods = ("cycle_gan", "context", "sequential")
    assert ablation.main([*FLAGS, "--methods", "cycle_gan"]) == 0
    trained = []
    real = Study.run
    monkeypatch.setattr(Study, "run", lambda *args: trained.append(args[3:5]) or real(*args))
    assert ablation.main([*FLAGS, "--methods", *methods]) == 0
    assert trained == [("context", 0), ("sequential", 0)]
    folder = Path("results/ablation_quick")
    assert {path.name for path in folder.glob("*.json")} == {
        "references.json", *(f"{method}-seed0.json" for method in methods)
    }  # fmt: skip
    page = folder / "ablation.md"
    text = page.read_text()
    assert list(rows(text, "## Equal steps"))[2:5] == [METHODS[method].title for method in methods]
    assert "images/ablation.png" in text and Image.open(folder / "images" / "ablation.png").width > 1000
    assert "1 of 3" not in capsys.readouterr().err.splitlines()[-1]

    page.write_text(text.replace(report.NOTES, f"{report.NOTES}\nBecause of this."))
    (folder / "context-seed0.json").unlink()
    monkeypatch.setattr(Study, "run", None)
    assert ablation.main([*FLAGS, "--report"]) == 0
    after = page.read_text()
    assert "Because of this." in after and METHODS["context"].title not in rows(after, "## Equal steps")
    assert not list(folder.rglob("*.part"))
    (folder / "longer").mkdir()
    (folder / "longer" / "context-seed3.json").write_text(json.dumps(run_of("context", 3, 4)))
    assert ablation.main([*FLAGS, "--report"]) == 0
    assert rows(page.read_text(), "## With more time")["+ context loss"][4] == "40.0%"

    said = sentence(capsys, ablation.main, *FLAGS, "--lr", "0.01", "--methods", "cycle_gan")
    assert "cycle_gan-seed0.json holds a run with lr 0.0005" in said
    (folder / "cycle_gan-seed0.json").write_text("{")
    assert "cycle_gan-seed0.json is not a run" in sentence(capsys, ablation.main, *FLAGS, "--report")


def test_what_cannot_be_reported_is_named(tmp_path, capsys):
    empty = sentence(capsys, ablation.main, "--report", "--runs", tmp_path)
    assert "holds no finished run" in empty
    for seed, run in enumerate((run_of("context", 0, 1), run_of("context", 1, 1))):
        run["settings"]["steps"] += seed
        (tmp_path / f"context-seed{seed}.json").write_text(json.dumps(run))
    assert "other settings" in sentence(capsys, ablation.main, "--report", "--runs", tmp_path)
    (tmp_path / "context-seed1.json").unlink()
    for wrong in (lambda run: run["curve"][1].pop("losses"), lambda run: run["curve"][0].update(inference={}),
                  lambda run: run.update(method="other"), lambda run: run.update(settings=[])):  # fmt: skip
        run = run_of("context", 0, 1)
        wrong(run)
        (tmp_path / "context-seed0.json").write_text(json.dumps(run))
        assert "seed0.json is not a run" in sentence(capsys, ablation.main, "--report", "--runs", tmp_path)
    (tmp_path / "file").write_text("")
    assert "--runs" in sentence(capsys, ablation.main, "--quick", "--runs", tmp_path / "file")


def test_a_loss_that_is_not_finite_ends_the_study(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ablation, "look_at_references", lambda *given: {})
    said = sentence(capsys, ablation.main, *FLAGS, "--lr", "1e30", "--seconds", "99", "--methods", "cycle_gan")
    assert "is not finite; lower --lr" in said
    assert not list(Path("results").rglob("cycle_gan*"))


def test_the_tables_hold_means_and_deviations_of_the_runs():
    text = report.document(three_seeds(cycle_gan=(2, 4, 6), context=(5, 5, 5)), {}, "", None)
    found = rows(text, "## Equal steps")
    assert found["CycleGAN"] == [
        "CycleGAN", "1,000", "7 ± 0", "60 ± 0", "40.0% ± 20.0%", "", "100.0% ± 0.0%", "0.0200 ± 0.0000", "",
    ]  # fmt: skip
    assert found["+ context loss"][4:6] == ["50.0% ± 0.0%", "50.0% ± 0.0%"]
    by_count = rows(text, "Translated, by the number of instances")
    assert by_count["instances"][1:] == ["1", "8"] and by_count["CycleGAN"][1:] == ["40.0% ± 20.0%"] * 2
    assert "6 minutes of one processor" in re.sub(r"\s+", " ", text)
    assert rows(text, "## Losses")["equal steps"][2:] == ["0.500", "", "", "", ""]
    assert "--seeds 0 1 2 --level hard --size 64 --ngf 12 --train 100 --val 30 --steps 400 --seconds 160 " in text


def test_curves_are_drawn_and_told_from_the_files(tmp_path):
    """Of a study that was stopped: one run has spent its budgets twice, the other once; tables are of once."""
    for method, seed in (("context", 0), ("sequential", 0)):
        run = run_of(method, seed, 4)
        del run["looks"], run["times"]
        if method == "context":
            later = copy.deepcopy(run["curve"])
            for look in later:
                look |= {"times": 2, "steps": 14, "seconds": 120.0}
                look["inference"][SEQUENTIAL] = copy.deepcopy(look["inference"][SEQUENTIAL])
                for sums in look["inference"][ONE_STEP]:
                    sums["translated"] = 9
            run["curve"] += later
        (tmp_path / f"{method}-seed{seed}.json").write_text(json.dumps(run))
    page = tmp_path / "ablation.md"
    assert ablation.main(["--report", "--runs", str(tmp_path), "--document", str(page)]) == 0
    text = page.read_text()
    assert "![Learning curves](images/ablation_curves.png)" in text
    assert "| equal steps | + context loss | one-step | 40.0% | 90.0% |" in text
    assert "| equal time | + sequential | sequential | 40.0% |  |" in text
    assert rows(text, "## Equal steps: 400")["+ context loss"][4] == "40.0%"
    claim = "sequential inference, trained one-step, translates more"
    assert rows(text, "## Is the paper's order")[claim][1:3] == ["0.0%", "undecided: 0 of 1"]
    later = "After 800 steps, and after 320 seconds, of those runs that went on (+ context loss, seed 0):"
    assert rows(text, later)[claim][1:3] == ["-50.0%", "reversed (one seed)"]
    drawn = np.asarray(Image.open(tmp_path / "images" / "ablation_curves.png"))
    assert all((drawn == colour).all(2).sum() > 50 for colour in COLOURS[:4])


def test_a_claim_needs_all_seeds():
    for figure, sign in (("translated", 1), ("background", -1)):
        assert tables.verdict([0.1 * sign, 0.2 * sign], figure) == "holds"
        assert tables.verdict([-0.1 * sign, -0.2 * sign], figure) == "reversed"
        assert tables.verdict([0.1 * sign], figure) == "holds (one seed)"
        assert tables.verdict([0.1 * sign, -0.2 * sign, 0.3 * sign], figure) == "undecided: 2 of 3"
        assert tables.verdict([0.1 * sign, 0.0], figure) == "undecided: 1 of 2"
        assert tables.verdict([], figure) == "-"
    runs = three_seeds(cycle_gan=(2, 4, 6), cycle_gan_seg=(3, 5, 8), insta_gan=(2, 4, 7))
    claims = rows(report.document(runs, {}, "", None), "## Is the paper's order")
    assert claims["CycleGAN+Seg translates more than CycleGAN"][1:3] == ["+10.0% / +10.0% / +20.0%", "holds"]
    assert claims["InstaGAN translates more than CycleGAN+Seg"][2] == "reversed"
    assert claims["InstaGAN's masks are better than CycleGAN+Seg's"][2] == "undecided: 0 of 3"
    assert claims["sequential translates more than one-step"][1:3] == ["-", "-"]


def test_the_square_tells_training_and_inference_apart():
    runs = three_seeds(context=(1, 2, 3), sequential=(5, 6, 7))
    for run in runs:
        for look in run["looks"].values():
            few, many = look["inference"][SEQUENTIAL]
            look["inference"][SEQUENTIAL] = [few, many | {"translated": many["translated"] + 2}]
    text = report.document(runs, {}, "", None)
    square = [line.split(" | ")[1:5] for line in text.partition("## One-step and sequential")[2].splitlines()[7:11]]
    assert square == [
        [ONE_STEP, ONE_STEP, "20.0% ± 10.0%", "20.0% ± 10.0%"],
        [ONE_STEP, SEQUENTIAL, "30.0% ± 10.0%", "40.0% ± 10.0%"],
        [SEQUENTIAL, ONE_STEP, "60.0% ± 10.0%", "60.0% ± 10.0%"],
        [SEQUENTIAL, SEQUENTIAL, "70.0% ± 10.0%", "80.0% ± 10.0%"],
    ]


def test_notes_stay_and_nothing_else():
    runs = three_seeds(context=(1, 2, 3))
    written = report.document(runs, {}, "By hand.\n\nMore.", None)
    assert report.notes_in(written) == "By hand.\n\nMore."
    assert report.notes_in("# Something else") == ""
    assert report.document(runs, {}, report.notes_in(written), None) == written


@pytest.mark.parametrize(
    ("page", "level", "methods"),
    [("ablation.md", "decoys", set(PAPER)), ("ablation_hard.md", "hard", set(PAPER))],
)
def test_the_committed_document_is_what_its_runs_say(page, level, methods):
    page, kept = ROOT / "docs" / page, ROOT / "docs" / "ablation_runs" / level
    text, runs = page.read_text(encoding="utf-8"), ablation._read(kept)
    assert {run["method"] for run in runs} == methods
    references = read_references(kept / "references.json")
    longer = [read_run(file) for file in sorted((kept / ablation.LONGER).glob("*-seed*.json"))]
    figures = [page.parent / "images" / f"{page.stem}{more}.png" for more in ("", f"_{ablation.LONGER}", "_curves")]
    there = [f"images/{figure.name}" if figure.exists() else None for figure in figures]
    assert report.document(runs, references, report.notes_in(text), there[0], longer, *there[1:]) == text
    assert Image.open(figures[0]).width > 1000


def test_a_study_that_is_stopped_early_has_something_on_every_method():
    assert list(cells(["cycle_gan", "context"], [0, 1]))[:2] == [("cycle_gan", 0), ("context", 0)]
    assert counts_of("hard") == [1, 2, 3, 4, 6, 8] and counts_of("plain") == [1, 2, 3, 4]
