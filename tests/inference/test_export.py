"""scripts/export.py: one file that translates as the run does, and a card that tells what it is."""

import json

import numpy as np
import pytest
import torch

pytest.importorskip("safetensors")

from instagan import InputError, Translator
from instagan.io.tensor_files import read_card, write_exported
from scripts.export import main
from tests.batches import random_batch
from tests.programs import draw_set, sentence, train
from tests.using import tiny_run, write_published


@pytest.mark.parametrize(
    "flags", [(), ("--direction", "BtoA", "--norm", "none"), ("--model", "cycle_gan"), ("--model", "cut")], ids=" ".join
)
def test_an_exported_model_translates_as_its_run(tmp_path, flags, capsys):
    run, model = tiny_run(tmp_path, "run", *flags)
    file = tmp_path / "out" / "model.safetensors"
    assert main(["--model", str(run.path), "--output", str(file)]) == 0
    assert capsys.readouterr().out.count("\n") == 2
    batch = random_batch([3, 1])
    for to in (target.lower() for _, target in model.directions):
        for path in (file, file.parent):
            one, other = (Translator.load(where, to=to, device="cpu") for where in (run.path, path))
            assert torch.equal(one.network.run(batch).image, other.network.run(batch).image)
            assert one.network.description == other.network.description


def test_a_file_of_an_older_version_is_read(tmp_path):
    run, model = tiny_run(tmp_path, "run", "--direction", "BtoA", "--ins_per", "3")
    file = tmp_path / "old.safetensors"
    card = {"options": run.load("latest")["options"], "directions": {"b": "G_B", "a": "G_A"}}
    write_exported(file, {name: model.networks[name].state_dict() for name in ("G_A", "G_B")}, card)
    for to in "ab":
        one, other = (Translator.load(path, to=to, device="cpu").network for path in (run.path, file))
        assert one.description == other.description
        assert torch.equal(one.generator.image_decoder[-2].weight, other.generator.image_decoder[-2].weight)


def test_the_card_tells_of_training(tmp_path):
    dataroot = draw_set(tmp_path / "shapes", "train", a=(1, 2), b=(2, 1))
    flags = ("--name", "run", "--max_steps", "2", "--no_html", "--print_freq", "1", "--ins_per", "1")
    assert train(dataroot, tmp_path, *flags) == 0
    (tmp_path / "figures.json").write_text('{"iou": 0.5}')
    file = tmp_path / "model.safetensors"
    figures = ["--figures", str(tmp_path / "figures.json")]
    assert main(["--model", str(tmp_path / "run"), "--output", str(file), *figures, "--name", "squares"]) == 0
    card = json.loads(file.with_suffix(".json").read_text())
    assert card["name"] == "squares" and card["directions"] == {"b": "G_A", "a": "G_B"}
    assert card["options"]["ins_per"] == 1 and card["options"]["netG"] == "set"
    assert card["sizes"]["ngf"] == 4 and card["sizes"]["trained_at"] == [32, 32]
    assert card["sizes"]["bytes"] == {"model.safetensors": file.stat().st_size}
    assert card["sizes"]["parameters"] * 2 * 4 < file.stat().st_size < card["sizes"]["parameters"] * 2 * 4 + 60000
    assert card["data"]["name"] == "shapes" and card["data"]["fine_size_w"] == 32
    assert card["figures"]["progress"]["steps"] == 2 and card["figures"]["measured"] == {"figures": {"iou": 0.5}}
    assert (
        np.isfinite(list(card["figures"]["last_losses"].values())).all() and "cyc_A" in card["figures"]["last_losses"]
    )
    assert str(tmp_path) not in file.with_suffix(".json").read_text()  # no paths of this machine
    inside = read_card(file)
    assert inside["options"] == card["options"] and inside["figures"] == card["figures"]


def test_one_direction_is_exported_alone(tmp_path):
    _, model = tiny_run(tmp_path, "run")
    published = write_published(tmp_path / "published", model, only="G")
    file = tmp_path / "model.safetensors"
    assert main(["--model", str(published / "latest_net_G_B.pth"), "--output", str(file), "--to", "a"]) == 0
    batch = random_batch([1])
    one, other = (Translator.load(path, to="a", device="cpu").network.run(batch) for path in (file, tmp_path / "run"))
    assert torch.equal(one.image, other.image)
    assert Translator.load(file, device="cpu").card["to"] == "a"
    with pytest.raises(InputError, match="without the direction to 'b'; export the model with --to b or both"):
        Translator.load(file, to="b")


def test_wrong_input_is_one_sentence(tmp_path, capsys, monkeypatch):
    run, _ = tiny_run(tmp_path, "run")
    file = tmp_path / "model.safetensors"
    where = ("--model", run.path, "--output")
    assert "ends in .safetensors" in sentence(capsys, main, *where, tmp_path / "model.bin")
    assert "no such file" in sentence(capsys, main, "--model", tmp_path / "no", "--output", file)
    assert "--figures" in sentence(capsys, main, *where, file, "--figures", tmp_path / "no.json")
    assert not file.exists() and not file.with_suffix(".json").exists()
    for content, reason in ((b"<html>" * 50, "is damaged or no safetensors file"), (b"", "is damaged")):
        file.write_bytes(content)
        with pytest.raises(InputError, match=reason):
            Translator.load(file)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, file)
    with pytest.raises(InputError, match="has no model card"):
        Translator.load(file)
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    with pytest.raises(InputError, match="pip install safetensors"):
        Translator.load(file)
