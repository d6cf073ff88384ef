"""Degenerate models and perfect ones get the verdicts that they deserve."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.outputs import outputs_of
from instagan.metrics import look_classifier
from scripts import make_streets, measure_streets, measure_styles

VAL = 3


@pytest.fixture(autouse=True)
def quick_classifier(monkeypatch):
    """Its figures are looked at where it is at home, in tests/metrics/test_styles.py."""
    monkeypatch.setattr(look_classifier, "STEPS", 10)


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "streets"
    flags = ["--save_root", str(folder), "--train", "6", "--val", str(VAL), "--test", "0", "--seed", "2"]
    assert make_streets.main(flags) == 0
    return folder


def translated(dataroot: Path, results: Path, make) -> Path:
    """make(key, target, renderings, size) gives the outputs of an input: images or files of them."""
    results.mkdir(parents=True)
    content = json.loads((dataroot / "streets.json").read_text())
    for key, picture in content["pictures"].items():
        if not key.startswith("val"):
            continue
        target = "B" if key[3] == "A" else "A"
        shutil.copy(dataroot / key, results / f"{Path(key).stem}_real_{key[3]}.png")
        outputs = make(key, picture["renderings"][target])
        for number, output in enumerate(outputs):
            style = f"_style{number}" if len(outputs) > 1 else ""
            path = results / f"{Path(key).stem}_fake_{target}{style}.png"
            if isinstance(output, np.ndarray):
                Image.fromarray(output).save(path)
            else:
                shutil.copy(dataroot / output, path)
    return results


def figures(dataroot: Path, results: Path, *flags: str) -> dict[str, dict]:
    found = results.parent / "figures.json"
    typed = ["--results", str(results), "--dataroot", str(dataroot), "--json", str(found), *flags]
    assert measure_streets.main(typed) == 0
    return json.loads(found.read_text())


def test_the_truth_in_all_styles_is_perfect(dataroot, tmp_path, capsys):
    results = translated(dataroot, tmp_path / "truth", lambda key, styles: list(styles.values()))
    found = figures(dataroot, results)
    for way, styles in (("A_to_B", 3), ("B_to_A", 2)):
        one = found[way]
        assert one["error"] == one["background_error"] == 0 and one["of_styles"]["outputs"] == VAL * styles
        assert one["styles_reached"] == one["styles"] == styles
        assert (
            one["of_styles"]["diversity"]["value"] > 0.01
            and "not comparable with LPIPS" in one["of_styles"]["diversity"]["by"]
        )
        for kind in one["classes"].values():
            assert kind["error"] == 0 and kind["look"] == kind["found"] == 1
        assert one["of_styles"]["scores"]["is_exp"] == pytest.approx(np.exp(one["of_styles"]["scores"]["is_kl"]))
        assert "look of the target's domain" in one["verdicts"][0]
    printed = capsys.readouterr().out
    assert "IS   mean KL" in printed and "CIS  mean KL" in printed and "exponentiated" in printed


def test_one_true_output_for_all_styles_is_degenerate(dataroot, tmp_path):
    results = translated(dataroot, tmp_path / "one", lambda key, styles: [next(iter(styles.values()))] * 3)
    for one in figures(dataroot, results).values():
        assert one["of_styles"]["diversity"]["value"] == 0 and one["styles_reached"] == 1 and one["error"] == 0
        assert one["of_styles"]["scores"]["cis_kl"] == pytest.approx(0, abs=1e-9)
        assert one["verdicts"] == ["Degenerate: one output for all styles."]


def test_the_input_itself_is_degenerate(dataroot, tmp_path):
    results = translated(dataroot, tmp_path / "identity", lambda key, styles: [key])
    for one in figures(dataroot, results).values():
        assert all(kind["look"] in (0, None) and kind["found"] == 1 for kind in one["classes"].values())
        assert one["of_styles"]["diversity"] is None and one["of_styles"]["scores"]["cis_kl"] is None
        assert one["verdicts"] == [
            "Degenerate: hardly any object looks as in the target's domain; nothing was translated."
        ]


def test_noise_is_degenerate_however_diverse(dataroot, tmp_path):
    rng = np.random.default_rng(0)
    noise = translated(
        dataroot, tmp_path / "noise", lambda key, styles: list(rng.integers(0, 256, (2, 64, 96, 3)).astype(np.uint8))
    )
    for one in figures(dataroot, noise).values():
        assert all(kind["found"] <= 0.1 for kind in one["classes"].values())
        assert one["error"] > 0.2 and one["verdicts"][0].startswith("Degenerate: most objects are nowhere")


def test_outputs_are_read_with_and_without_styles(tmp_path):
    for name in ("a_fake_B.png", "b_fake_B.png", "b_fake_B_style10.png", "b_fake_B_style2.png", "a_fake_B_mask_0.png"):
        (tmp_path / name).touch()
    found = {name: [path.name for path in paths] for name, paths in outputs_of(tmp_path, "B").items()}
    assert found == {"a": ["a_fake_B.png"], "b": ["b_fake_B_style2.png", "b_fake_B_style10.png"]}
    assert outputs_of(tmp_path, "A") == {}


def test_what_is_missing_is_named(dataroot, tmp_path, capsys):
    small = translated(dataroot, tmp_path / "small", lambda key, styles: [np.zeros((32, 48, 3), np.uint8)])
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "streets.json").write_text("{}")
    for results, root, says in (
        (tmp_path / "no", dataroot, "no such folder"),
        (tmp_path, tmp_path / "no", "make_streets.py"),
        (tmp_path, tmp_path / "damaged", "is damaged"),
        (tmp_path, dataroot, "has no translation of a val image"),
        (small, dataroot, "--original_size"),
    ):
        assert measure_streets.main(["--results", str(results), "--dataroot", str(root)]) == 2
        message = capsys.readouterr().err
        assert says in message and message.count("\n") == 1


def test_styles_are_measured_on_any_data_set(dataroot, tmp_path, capsys):
    results = translated(dataroot, tmp_path / "truth", lambda key, styles: list(styles.values()))
    flags = ["--results", str(results), "--dataroot", str(dataroot), "--json", str(tmp_path / "styles.json")]
    assert measure_styles.main(flags) == 0
    found = json.loads((tmp_path / "styles.json").read_text())
    assert found["A_to_B"]["outputs"] == VAL * 3 and found["B_to_A"]["outputs"] == VAL * 2
    assert found["A_to_B"]["diversity"]["value"] > 0.01
    assert "2 classes" in capsys.readouterr().out
    for wrong, says in (
        (["--results", str(tmp_path / "no"), "--dataroot", str(dataroot)], "no such folder"),
        (["--results", str(tmp_path), "--dataroot", str(dataroot)], "no translation such as"),
        (["--results", str(results), "--dataroot", str(tmp_path / "no")], "no such folder"),
    ):
        assert measure_styles.main(wrong) == 2
        assert says in capsys.readouterr().err
