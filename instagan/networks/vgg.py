"""VGG16 as a judge of pictures: MUNIT's domain-invariant perceptual distance."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor, nn

from instagan.errors import InputError
from instagan.networks.normalisation import InstanceNorm2d

VGG_FILE = "vgg16-397923af.pth"
"""As torchvision names VGG16's weights in torch's cache."""
WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of VGG16's convolutions; max pooling lies between the groups."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the pictures in [0, 1] that torchvision's weights were trained on, by channel."""


class DomainInvariantPerceptual(nn.Module):
    """Mean square difference of instance-normalised relu5_3 features. Images (B, 3, H, W) in [-1, 1] -> (B,).

    Its weights are never trained. H and W must be 32 or more.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for group, widths in enumerate(WIDTHS):
            layers += [nn.MaxPool2d(2)] if group else []
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
        self.features, self.norm = nn.Sequential(*layers), InstanceNorm2d(channels)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)
        self.requires_grad_(False)

    @classmethod
    def of_file(cls, file: Path | None = None) -> DomainInvariantPerceptual:
        """With torchvision's state dict of VGG16, None: of torch's cache. Raises ``InputError`` naming the flag."""
        file = file or Path(torch.hub.get_dir()) / "checkpoints" / VGG_FILE
        if not file.is_file():
            raise InputError(f"--vgg_w needs VGG16's weights, and {file} is not there; pass --vgg_weights FILE")
        made = cls()
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
            made.load_state_dict({name: state[name] for name in made.state_dict()})
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError):
            raise InputError(f"--vgg_weights {file} does not hold torchvision's weights of vgg16; pass those") from None
        return made

    def forward(self, made: Tensor, target: Tensor) -> Tensor:
        difference = self._normalised(made) - self._normalised(target)  # (B, 512, h, w)
        return difference.square().mean((1, 2, 3))

    def _normalised(self, image: Tensor) -> Tensor:
        scaled = ((image + 1) / 2 - self.mean) / self.deviation
        return self.norm(self.features(scaled))
