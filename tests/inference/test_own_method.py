"""A method that no registry knows, only ``MODELS``: its own ``translate`` is used wherever the checkout is there."""

from argparse import Namespace

import numpy as np
import pytest
import torch
from PIL import Image

import instagan
from instagan import InputError, Translator
from instagan.cli import app
from instagan.cli.main import main
from instagan.structures.instances import InstanceBatch
from models import MODELS
from models.cycle_gan_model import CycleGanModel
from tests.programs import draw_set, test_program
from tests.using import tiny_run


class NightModel(CycleGanModel):
    """Translates within the masks alone, which no generator of a known kind does."""

    needs = ("masks",)

    def translators(self):
        return {}

    @torch.no_grad()
    def translate(self, source, to="b", style=None):
        inside = (source.union() > 0).to(source.image)  # (B, 1, H, W)
        (way,) = (way for way in self.ways if way.target == to.upper())
        return source.with_image(torch.lerp(source.image, way.G(source).image, inside))

    @staticmethod
    def dataset_mode(options):
        return "unaligned_seg"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "night", NightModel)
    return tiny_run(tmp_path / "runs", "run", "--model", "night", "--netG", "resnet_6blocks", "--direction", "BtoA")


def pair(size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    masks = np.zeros((2, size, size), bool)
    masks[0, 4:12, 4:12] = masks[1, 16:30, 10:20] = True
    return pixels, masks


@pytest.mark.parametrize("to, network", [("a", "A"), ("b", "B")])
def test_the_run_is_used_through_its_own_translate(run, to, network):
    folder, model = run
    pixels, masks = pair()
    made = Translator.load(folder.path, to=to, device="cpu")(pixels, list(masks), tensors=True)
    batch = InstanceBatch(
        torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1,
        torch.from_numpy(masks)[None] * 2.0 - 1,
        torch.ones(1, 2, dtype=torch.bool),
        torch.zeros(1, 2, dtype=torch.long),
    )
    expected = model.translate(batch, {"A": "b", "B": "a"}[network])  # the run has the folder B as its A
    assert (made.image - expected.image[0]).abs().max() < 2e-5
    outside = ~masks.any(0)
    assert np.abs(np.asarray(made.picture, int) - pixels)[outside].max() <= 1
    assert np.abs(np.asarray(made.picture, int) - pixels)[~outside].max() > 20
    assert len(made.masks) == 2 and made.present == (True, True)


def test_pages_and_programs_offer_it(run, tmp_path, capsys):
    folder, _ = run
    told = Namespace(model=folder.path, device="cpu", precision="fp32", epoch="latest")
    assert list(app._translators(told)) == ["b", "a"]
    pixels, masks = pair()
    Image.fromarray(pixels).save(tmp_path / "x.png")
    Image.fromarray(masks[0]).save(tmp_path / "m.png")
    words = ["translate", "--model", folder.path, "--image", tmp_path / "x.png", "--masks", tmp_path / "m.png"]
    words += ["--output", tmp_path / "y.png", "--device", "cpu"]
    assert main([str(word) for word in words]) == 0
    assert "translated to b" in capsys.readouterr().out
    data = draw_set(tmp_path / "data", "test", a=[2], b=[1], size=(32, 32))
    flags = ["--dataroot", data, "--checkpoints_dir", folder.path.parent, "--name", "run", "--device", "cpu"]
    flags += ["--results_dir", tmp_path / "results", "--num_threads", 0]
    assert test_program.main([str(flag) for flag in flags]) == 0
    results = tmp_path / "results" / "run" / "test_latest"
    t = Translator.load(folder.path / "latest.pth", to="b", device="cpu")
    made = t(data / "testA" / "a0.png", sorted((data / "testA_seg").glob("a0_*.png")))
    assert np.array_equal(np.asarray(made.picture), np.asarray(Image.open(results / "a0_fake_B.png")))


def test_what_cannot_be_done_is_one_sentence(run, tmp_path, monkeypatch):
    folder, _ = run
    pixels, masks = pair(48)
    with pytest.raises(InputError, match="need a method that tells how it translates"):
        Translator.load(folder.path, device="cpu")(pixels, list(masks), crop_instances=True)
    told = "trained with --model night, which does not tell how to translate without its program; use the folder"
    (tmp_path / "alone.pth").write_bytes(folder.checkpoint("latest").read_bytes())
    with pytest.raises(InputError, match=told):
        Translator.load(tmp_path / "alone.pth", device="cpu")
    monkeypatch.setattr(instagan, "__file__", str(tmp_path / "site-packages" / "instagan" / "__init__.py"))
    with pytest.raises(InputError, match=told):
        Translator.load(folder.path, device="cpu")
