"""python -m instagan translate with models of keypoints and of parts: what is told of instances, file to file."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pycocotools", reason="COCO needs pycocotools (requirements.txt)")

from instagan import Translator
from instagan.cli.main import main
from scripts import make_shapes
from tests.programs import sentence
from tests.using import tiny_run


def of(attribute: str, channels: int, folder: Path) -> tuple[Path, list[object]]:
    """A drawn set, and the beginning of a command with a model of its instances."""
    where = ["--save_root", str(folder / "set"), "--attribute", attribute, "--size", "48"]
    assert make_shapes.main([*where, "--train", "0", "--val", "2"]) == 0
    run, _ = tiny_run(folder, "run", "--attribute", attribute, "--attribute_channels", str(channels))
    return folder / "set", ["translate", "--model", run.path, "--device", "cpu"]


def call(*words: object) -> int:
    return main([str(word) for word in words])


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_parts_are_label_maps_in_the_place_of_masks(tmp_path, capsys):
    root, command = of("parts", 2, tmp_path)
    folder, out = ["--images", root / "valA", "--masks_dir", root / "valA_seg"], tmp_path / "out"
    assert call(*command, *folder, "--output_dir", out, "--resume") == 0
    t = Translator.load(command[2], device="cpu")
    for picture in (root / "valA").iterdir():
        files = sorted((root / "valA_seg").glob(f"{picture.stem}_*.png"))
        made = t(picture, parts=files)
        assert np.array_equal(pixels(out / picture.name), np.asarray(made.picture))
        assert len(made.parts) == len(files) > 0 and made.parts.any()
        for number, (mask, labels) in enumerate(zip(made.masks, made.parts, strict=True)):
            assert np.array_equal(pixels(out / f"{picture.stem}_mask_{number}.png"), np.asarray(mask))
            assert np.array_equal(pixels(out / f"{picture.stem}_parts_{number}.png"), labels)
    capsys.readouterr()
    assert call(*command, *folder, "--output_dir", out, "--resume") == 0
    assert "2 pictures kept from before" in capsys.readouterr().out
    one = ["--image", picture, "--output", tmp_path / "y.png", "--masks"]
    assert call(*command, *one, files[0]) == 0
    assert np.array_equal(pixels(tmp_path / "y_parts_0.png"), t(picture, parts=files[:1]).parts[0])
    Image.fromarray(pixels(files[0]) * 3).save(tmp_path / "high.png")
    assert "this model knows 2 parts, not 6" in sentence(capsys, main, *command, *one, tmp_path / "high.png")
    for file in (root / "valA_seg").iterdir():  # maps of instances, of which nobody knows parts
        file.rename(file.with_name(f"{file.stem.rpartition('_')[0]}.png"))
    said = sentence(capsys, main, *command, *folder, "--output_dir", tmp_path / "other")
    assert "needs parts of every mask: pass label maps of them with --masks" in said


def test_keypoints_are_those_of_a_json(tmp_path, capsys):
    root, command = of("keypoints", 4, tmp_path)
    told = ["--annotations", root / "val.json", "--category"]
    assert call(*command, "--images", root, *told, "square", "--output_dir", tmp_path / "out", "--save_coco") == 0
    content, t = json.loads((root / "val.json").read_text()), Translator.load(command[2], device="cpu")
    pictures = [image for image in content["images"] if image["file_name"].startswith("valA")]
    assert len(pictures) == 2
    for image in pictures:
        picture = root / image["file_name"]
        points = [one["keypoints"] for one in content["annotations"] if one["image_id"] == image["id"]]
        made = t(picture, sorted((root / "valA_seg").glob(f"{picture.stem}_*.png")), keypoints=points)
        assert np.array_equal(pixels(tmp_path / "out" / picture.name), np.asarray(made.picture))
        written = json.loads((tmp_path / "out" / f"{picture.stem}_keypoints.json").read_text())
        assert list(written) == [str(number) for number in range(len(points))]
        for number, of_one in enumerate(made.keypoints):
            np.testing.assert_allclose(np.reshape(written[str(number)], (-1, 3)), of_one, atol=0.006)
    one = ["--image", picture, "--output", tmp_path / "y.png"]
    assert call(*command, *one, *told, "square", "--to", "b") == 0
    assert json.loads((tmp_path / "y_keypoints.json").read_text()) == written
    said = sentence(capsys, main, *command, *one, "--masks", root / "valA_seg" / f"{picture.stem}_0.png")
    assert "needs keypoints of every mask: pass them with --annotations, or use test.py" in said
    for category in content["categories"]:
        del category["keypoints"]
    (root / "val.json").write_text(json.dumps(content))
    assert "tells no keypoints of square" in sentence(capsys, main, *command, *one, *told, "square")
