"""VGG16 as MUNIT's perceptual judge: torchvision's names, features without style, weights that stay as they are."""

import pytest
import torch

from instagan.errors import InputError
from instagan.networks import vgg
from instagan.networks.blocks import initialise
from instagan.networks.vgg import DomainInvariantPerceptual

CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""Their places in torchvision's vgg16().features."""


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setattr(vgg, "WIDTHS", tuple(tuple(width // 16 for width in widths) for widths in vgg.WIDTHS))


def test_layers_are_those_of_vgg16_up_to_relu5_3():
    with torch.device("meta"):
        features = DomainInvariantPerceptual().features
    assert [place for place, layer in enumerate(features) if isinstance(layer, torch.nn.Conv2d)] == [*CONVOLUTIONS]
    assert sum(weight.numel() for weight in features.parameters()) == 14_714_688 and len(features) == 30


def test_a_file_of_weights_judges_and_is_not_trained(narrow, tmp_path):
    torch.manual_seed(0)
    made = DomainInvariantPerceptual()
    initialise(made, "kaiming")
    torch.save({**made.state_dict(), "classifier.0.bias": torch.zeros(3)}, tmp_path / "vgg.pth")
    judge = DomainInvariantPerceptual.of_file(tmp_path / "vgg.pth")
    x, y = torch.rand(2, 2, 3, 64, 64) * 2 - 1
    y.requires_grad_()
    distance = judge(y, x)
    assert distance.shape == (2,) and (distance > 0).all() and torch.equal(distance, made(y, x))
    assert not judge(x, x).any()
    torch.testing.assert_close(judge(y[:1], x[:1]), distance[:1])
    distance.sum().backward()
    assert y.grad.any() and all(weight.grad is None for weight in judge.parameters())


def test_a_file_that_is_missing_or_another_is_one_sentence(narrow, tmp_path):
    with pytest.raises(InputError, match="--vgg_w needs VGG16's weights, and .*none.pth is not there"):
        DomainInvariantPerceptual.of_file(tmp_path / "none.pth")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("nothing")
    for name in ("other.pth", "text.pth"):
        with pytest.raises(InputError, match="does not hold torchvision's weights of vgg16"):
            DomainInvariantPerceptual.of_file(tmp_path / name)
