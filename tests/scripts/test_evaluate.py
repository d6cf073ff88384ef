"""evaluate.py finds what is known of translations made by hand, and of a run what it finds of that run's results."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.instances import read_outcome
from evaluation.layout import OURS, Files
from instagan.io.reading import read_inside
from instagan.metrics import PROTOCOL, classifier
from instagan.metrics.shapes import Truth
from scripts import evaluate, make_shapes, measure_shapes
from tests.evaluating import draw_shapes, report_of, save, translate_by_hand, values
from tests.programs import draw_set, sentence, train, translate

WAYS = ("AtoB", "BtoA")


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Classifiers that learn less: the pictures here are easily told apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "STEPS", 40)
        yield


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return draw_shapes(tmp_path_factory.mktemp("set") / "shapes")


@pytest.fixture(scope="module")
def results(shapes, tmp_path_factory):
    """How -> the folder of results."""
    folder = tmp_path_factory.mktemp("results")
    return {how: translate_by_hand(shapes, folder / how, how) for how in ("good", "identity", "paint")}


@pytest.fixture(scope="module")
def reports(shapes, results, tmp_path_factory):
    """How -> report.json, and report.html."""
    folder = tmp_path_factory.mktemp("reports")
    told = {how: report_of(folder / how, "--results", path, "--dataroot", shapes) for how, path in results.items()}
    return {how: (report, (folder / how / "report.html").read_text()) for how, report in told.items()}


def test_label_maps_of_parts_are_taken_for_masks_where_that_is_asked_for(reports, results, tmp_path, capsys):
    """Of the same pictures, whose masks are in two parts each, the figures are the same."""
    parts = tmp_path / "parts"
    flags = ("--train", 16, "--val", 6, "--seed", 3, "--attribute", "parts")
    assert make_shapes.main([str(word) for word in ("--save_root", parts, *flags)]) == 0
    where = ("--results", results["good"], "--dataroot", parts)
    report = report_of(tmp_path / "report", *where, "--parts")
    for way in WAYS:
        assert values(report, way) == values(reports["good"][0], way)
    assert "or pass --parts if they are label maps of parts" in sentence(capsys, evaluate.main, *where)
    assert "--parts belongs to --results with --dataroot" in sentence(capsys, evaluate.main, "--run", parts, "--parts")


def test_a_good_translation_is_called_good(reports):
    report, page = reports["good"]
    for way in WAYS:
        found = values(report, way)
        assert found["truth_both"] == found["instance_score"] == found["instance_accuracy"] == 1
        assert found["agreement"] > 0.95 and found["background_mae"] == 0 and found["background_psnr"] == 100
        assert found["background_ssim"] == pytest.approx(1) and found["balance"] == pytest.approx(1)
        assert report["directions"][way]["verdict"]["code"] == "translated"
    assert page.count('class="verdict good"') == 2 and "Instances are translated and the background stays" in page


def test_a_degenerate_model_is_seen_at_once(reports):
    for way in WAYS:
        nothing, everything = (values(reports[how][0], way) for how in ("identity", "paint"))
        assert nothing["background_mae"] == 0 and nothing["background_psnr"] == 100
        assert nothing["instance_score"] == nothing["truth_both"] == nothing["agreement"] == nothing["balance"] == 0
        assert everything["background_mae"] > 0.2 and everything["background_ssim"] < 0.7
        assert everything["picture_score"] > 0.9 and everything["truth_colour"] == 1 and everything["truth_both"] == 0
        assert everything["instance_score"] > 0.9 and everything["balance"] == 0
        assert everything["fid"] > 5 * nothing["fid"]
        for how, code in (("identity", "identity"), ("paint", "painted_over")):
            report, page = reports[how]
            told = report["directions"][way]["verdict"]
            assert (told["code"], told["tone"]) == (code, "bad")
            assert page.count('class="verdict bad"') == 2 and page.count("Degenerate") == 2


def test_every_figure_carries_what_it_was_measured_with(shapes, results, tmp_path):
    flags = ("--results", results["good"], "--dataroot", shapes, "--seeds", 0, 1, "--direction", "AtoB")
    report = report_of(tmp_path / "out", *flags)
    (way,) = report["directions"].values()
    drawn = {"picture_score", "instance_score", "picture_accuracy", "instance_accuracy", "kid", "instance_kid"}
    for figure in way["figures"]:
        assert figure["protocol"] == PROTOCOL and figure["seeds"] == [0, 1] and figure["device"] == "cpu"
        assert figure["n"] >= 1 and {"checkpoint", "step", "system"} <= set(figure)
        assert (figure["std"] is not None) == (figure["metric"] in drawn), figure["metric"]
    by_metric = {figure["metric"]: figure for figure in way["figures"] if figure["group"] == "all"}
    assert "not comparable with Inception" in by_metric["fid"]["by"]
    assert (by_metric["kid"]["subsets"], by_metric["kid"]["subset_size"], by_metric["kid"]["real"]) == (100, 3, 6)
    assert "small network" in by_metric["instance_score"]["by"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("not comparable with Inception") >= 4 and "subset size 3" in page and "seeds 0 1" in page


def test_figures_stand_by_number_of_instances(shapes, reports):
    for way, letter in zip(WAYS, "AB", strict=True):
        pictures = json.loads((shapes / "shapes.json").read_text())["pictures"]
        counts = [len(truth["instances"]) for key, truth in pictures.items() if key.startswith(f"val{letter}/")]
        told = reports["good"][0]["directions"][way]["figures"]
        n = {figure["group"]: figure["n"] for figure in told if figure["metric"] == "background_mae"}
        instances = {figure["group"]: figure["n"] for figure in told if figure["metric"] == "instance_score"}
        expected = {str(k) if k < 4 else "4+": counts.count(k) for k in set(counts)}
        assert n == {"all": len(counts), **expected}
        assert instances["all"] == sum(counts)


def test_the_set_s_truth_is_what_measure_shapes_finds(shapes, tmp_path):
    folder = translate_by_hand(shapes, tmp_path / "results", "good")
    masks = sorted(folder.glob("*_fake_B_mask_*.png"))
    save(masks[0], np.zeros((64, 64), bool))
    picture = folder / f"{masks[-1].name.split('_fake')[0]}_fake_B.png"
    save(picture, 255 - np.asarray(Image.open(picture)))
    truth = json.loads((shapes / "shapes.json").read_text())
    theirs = measure_shapes.measure(folder, shapes, truth, "val", "A", "B")
    ours = values(report_of(tmp_path / "out", "--results", folder, "--dataroot", shapes, "--direction", "AtoB"), "AtoB")
    assert 0 < theirs.colour_share < 1
    assert (ours["truth_shape"], ours["truth_colour"]) == (theirs.shape_share, theirs.colour_share)


def test_so_it_is_where_instances_cover_each_other(tmp_path):
    root = draw_shapes(tmp_path / "hard", train=0, val=3, level="hard")
    folder = translate_by_hand(root, tmp_path / "results", "identity")
    truth = json.loads((root / "shapes.json").read_text())
    for source, target in ("AB", "BA"):
        files = Files(folder, OURS, sorted(path.name for path in folder.iterdir()), source, target)
        outcomes = []
        for name in files.names("fake"):
            paths = [root / f"val{source}_seg" / f"{name}_{number}.png" for number in range(8)]
            before = tuple(read_inside(path) for path in paths if path.exists())
            outcomes.append(replace(read_outcome(files, name, None)[0], before=before))
        back = Truth.of(truth, source)  # unchanged, they have the shape and colour of their own domain
        shapes = [right for one in outcomes for right in back.shapes(one)]
        assert np.mean(shapes) > 0.9 and Truth.of({**truth, "level": "hard"}, target).covering
        plain = Truth.of({key: value for key, value in truth.items() if key != "level"}, source)
        assert np.mean([right for one in outcomes for right in plain.shapes(one)]) < np.mean(shapes)


def test_published_names_are_understood_and_instances_are_pieces_of_the_mask(shapes, tmp_path):
    folder = translate_by_hand(shapes, tmp_path / "results", "good", "published")
    with_set = report_of(tmp_path / "one", "--results", folder, "--dataroot", shapes, "--train_pictures", 0)
    alone = report_of(tmp_path / "two", "--results", folder)
    assert "published names" in alone["facts"]["Results"]
    for way in WAYS:
        one, two = values(with_set, way), values(alone, way)
        assert one["truth_both"] == 1 and "truth_both" not in two
        assert two["background_mae"] == 0 and two["instance_score"] > 0.9
        assert any("connected pieces" in note for note in alone["directions"][way]["notes"])
        assert with_set["directions"][way]["instances"] == alone["directions"][way]["instances"]


def test_other_names_are_told_by_patterns(shapes, results, tmp_path):
    folder = tmp_path / "other"
    for kind, what in (("in", "real_A"), ("out", "fake_B"), ("in/masks", "real_A_mask")):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for path in results["good"].glob(f"squares_*_{what}.png"):
            shutil.copy(path, folder / kind / f"x{path.name.split('_')[1]}.png")
    patterns = ("real=in/{name}.png", "fake=out/{name}.png", "real_mask=in/masks/{name}.png")
    flags = ("--results", folder, "--pattern", *patterns, "--direction", "AtoB")
    found = report_of(tmp_path / "out", *flags)
    way = found["directions"]["AtoB"]
    assert way["pictures"] == 6 and values(found, "AtoB")["change"] > 0.1
    assert any("no FID" in note for note in way["notes"])  # there are no real images of B to compare with
    assert way["verdict"]["code"] == "unknown"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A data set and a run of a few steps on it."""
    root = draw_set(tmp_path_factory.mktemp("data"), "train", a=[2, 1, 1, 3, 1], b=[1, 3, 2, 1, 2])
    draw_set(root, "val", a=[3, 0, 1], b=[1, 2, 5])
    checkpoints = tmp_path_factory.mktemp("runs")
    flags = ("--name", "run", "--niter", "1", "--niter_decay", "1", "--max_steps", "2", "--no_html")
    assert train(root, checkpoints, *flags) == 0
    return root, checkpoints


def test_a_run_has_the_figures_of_its_results(run, tmp_path):
    root, checkpoints = run
    assert translate(root, checkpoints, tmp_path / "results", "--name", "run", "--phase", "val") == 0
    own = report_of(tmp_path / "own", "--run", checkpoints / "run")
    of_files = report_of(
        tmp_path / "files", "--results", tmp_path / "results" / "run" / "val_latest", "--dataroot", root
    )
    assert own["step"] == 2 and own["checkpoint"].endswith("latest.pth") and of_files["step"] is None
    for way in WAYS:
        one, two = values(own, way), values(of_files, way)
        assert set(one) - set(two) == {"seconds", "peak_memory", "parameters"} and one["seconds"] > 0
        assert own["directions"][way]["pictures"] == 3
        for name in set(two) - {"picture_score", "picture_accuracy", "instance_score", "instance_accuracy", "balance"}:
            assert one[name] == pytest.approx(two[name], rel=1e-6, abs=1e-9), name
    state = torch.load(checkpoints / "run" / "latest.pth", weights_only=True)
    assert values(own, "AtoB")["parameters"] == sum(weight.numel() for weight in state["networks"]["G_A"].values())


@pytest.mark.parametrize("model", [("cycle_gan",), ("cycle_gan", "--with_masks")], ids=" ".join)
def test_methods_without_masks_of_their_own_are_measured(model, run, tmp_path):
    root, _ = run
    flags = ("--name", "run", "--model", *model, "--niter", "1", "--niter_decay", "1", "--max_steps", "1", "--no_html")
    assert train(root, tmp_path, *flags) == 0
    report = report_of(tmp_path / "out", "--run", tmp_path / "run", "--direction", "BtoA")
    found = values(report, "BtoA")
    assert {"background_mae", "instance_score", "fid"} <= set(found)
    assert ("background_claimed" in found) == ("--with_masks" in model)


def test_flags_of_test_py_are_passed_on(run, tmp_path, capsys):
    root, checkpoints = run
    flags = ("--run", checkpoints / "run", "--direction", "BtoA", "--num_test", 2)
    assert report_of(tmp_path / "out", *flags, "--ins_max", 1)["directions"]["BtoA"]["pictures"] == 2
    assert "--ins_mix" in sentence(capsys, evaluate.main, "--run", str(checkpoints / "run"), "--ins_mix", "1")


def test_wrong_input_is_one_sentence(run, shapes, results, tmp_path, capsys):
    root, checkpoints = run
    (tmp_path / "empty").mkdir()
    (tmp_path / "fresh").mkdir()
    shutil.copy(checkpoints / "run" / "options.yaml", tmp_path / "fresh")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pth")
    (tmp_path / "nonsense.pth").write_text("nonsense")
    broken = {}
    for name in ("size", "no_real", "mask_size", "no_masks", "no_name"):
        broken[name] = shutil.copytree(results["good"], tmp_path / name)
    first = broken["size"] / "squares_000_fake_B.png"
    Image.open(first).resize((32, 32)).save(first)
    (broken["no_real"] / "squares_001_real_A.png").unlink()
    mask = broken["mask_size"] / "squares_000_real_A_mask.png"
    Image.open(mask).resize((32, 32)).save(mask)
    for path in broken["no_masks"].glob("*mask*"):
        path.unlink()
    for path in broken["no_name"].glob("*000_fake_B.png"):
        path.rename(path.with_name("stranger_fake_B.png"))
        shutil.copy(broken["no_name"] / "squares_000_real_A.png", path.with_name("stranger_real_A.png"))
    good = ("--results", results["good"])
    cases = (
        ((), "pass either --run"),
        (("--run", tmp_path / "nothing"), "no such folder; pass the folder of a run"),
        (("--run", tmp_path / "empty"), "no such run"),
        (("--run", tmp_path / "fresh"), "no such checkpoint"),
        (("--run", checkpoints / "run", "--epoch", "best"), "best.pth: no such checkpoint"),
        (("--run", checkpoints / "run", "--phase", "test"), "use --phase val"),
        (("--run", checkpoints / "run", "--pattern", "x"), "--pattern belongs to --results"),
        (("--results", tmp_path / "nothing"), "no such folder"),
        (("--results", tmp_path / "empty"), "is empty"),
        (("--results", tmp_path / "fresh"), "holds no translated image"),
        ((*good, "--direction", "AtoB", "--pattern", "real={name}.png"), "needs fake=PATTERN"),
        ((*good, "--pattern", "real=x.png", "fake={name}.png"), "needs {name}"),
        ((*good, "--pattern", "real={nome}.png"), "there is no {nome}"),
        ((*good, "--pattern", "real={name", "fake={name}"), "cannot be read"),
        ((*good, "--pattern", "reel={name}"), "write KIND=PATTERN"),
        ((*good, "--pattern", "real={name}.png", "fake={name}.jpg"), "pass --direction"),
        (("--results", broken["size"]), "squares_000_fake_B.png is 32x32 but squares_000_real_A.png is 64x64"),
        (("--results", broken["no_real"]), "has no squares_001_real_A.png beside it"),
        (("--results", broken["mask_size"]), "squares_000_real_A_mask.png is 32x32"),
        (("--results", broken["no_masks"]), "has no mask"),
        (("--results", broken["no_name"], "--dataroot", shapes), "has no image stranger"),
        ((*good, "--dataroot", root), "has no image squares_000"),
        ((*good, "--weights", "inception"), "write KIND=FILE"),
        ((*good, "--weights", "inception=/nowhere"), "there is no such file"),
        ((*good, "--weights", f"inception={tmp_path / 'weights.pth'}"), "does not fit torch-fidelity's Inception"),
        ((*good, "--weights", f"inception={tmp_path / 'nonsense.pth'}"), "does not fit torch-fidelity's Inception"),
        ((*good, "--weights", f"vgg16={tmp_path / 'weights.pth'}"), "does not fit torchvision's vgg16"),
        ((*good, "--lpips", "--weights", f"lpips={tmp_path / 'weights.pth'}"), "does not fit torchvision's alexnet"),
        ((*good, "--detector", "--weights", f"maskrcnn={tmp_path / 'weights.pth'}"), "does not fit torchvision's mask"),
        ((*good, "--weights", f"maskrcnn={tmp_path / 'weights.pth'}"), "belongs to --detector"),
        ((*good, "--classifier", "vgg16"), "--weights vgg16=FILE"),
        ((*good, "--features", "inception"), "--weights inception=FILE"),
        ((*good, "--lpips"), "--weights lpips=FILE"),
        ((*good, "--seeds", "1", "1"), "--seeds"),
        ((*good, "--device", "cuda:99"), "--device"),
        ((*good, "--ins_max", "1"), "unknown flag --ins_max"),
    )
    for flags, says in cases:
        told = sentence(capsys, evaluate.main, *map(str, flags), "--output_dir", str(tmp_path / "out"))
        assert says in told, (flags, told)
    assert not (tmp_path / "out").exists()  # nothing half-written
