"""Pictures -> features, for distances between sets of them: Inception of torch-fidelity, or a small built-in one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from instagan.errors import InputError
from instagan.io.optional import need
from instagan.io.tensor_files import fitting
from instagan.io.torchvision_import import import_torchvision
from instagan.metrics.crops import as_batch

INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
"""As torch-fidelity names it in torch's cache."""
SIDE = 64
WIDTHS = (16, 32, 48)
FILTERS_SEED = 1910
BATCH = 32

Extract = Callable[[Tensor], Tensor]
"""Pictures (n, 3, H, W) uint8 -> features (n, D)."""


@dataclass(frozen=True)
class Features:
    """A way to get features. name: what every table says of it; side: to which size pictures are brought first."""

    name: str
    extract: Extract
    side: int | None

    def of(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Pictures (H, W, 3) uint8 of any sizes -> (n, D) float64."""
        chunks = [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]
        with torch.inference_mode():
            found = [self.extract(as_batch(part, self.side)) for chunk in chunks for part in self._alike(chunk)]
        return torch.cat(found).double().cpu().numpy()

    def _alike(self, chunk: Sequence[np.ndarray]) -> list[Sequence[np.ndarray]]:
        """Parts that one batch can hold: all together where they are resized, else one by one."""
        return [chunk] if self.side is not None else [[picture] for picture in chunk]


def built_in(device: torch.device) -> Features:
    """Means of the responses of three layers of fixed random filters, with the mean colours: needs no weights.

    It sees colours, textures and coarse shapes, and orders models of one data set. Its distances compare with nothing
    but themselves.
    """
    filters = fixed_filters(device)

    def extract(pictures: Tensor) -> Tensor:
        x = pictures.to(device).float() / 127.5 - 1
        return torch.cat([layer.mean((2, 3)) for layer in (x, *responses(x, filters))], 1)  # (n, 3 + 16 + 32 + 48)

    return Features("built-in features, not comparable with Inception", extract, SIDE)


def fixed_filters(device: torch.device) -> list[Tensor]:
    """Weights (outputs, inputs, size, size) of three layers, the same in every run."""
    random = np.random.RandomState(FILTERS_SEED)
    filters = []
    for inputs, outputs, size in zip((3, *WIDTHS[:-1]), WIDTHS, (5, 3, 3), strict=True):
        drawn = random.standard_normal((outputs, inputs, size, size)) * math.sqrt(2 / (inputs * size * size))
        drawn -= drawn.mean((2, 3), keepdims=True) * 0.5  # half blind to flat areas, so that edges count
        filters.append(torch.from_numpy(drawn.astype(np.float32)).to(device))
    return filters


def responses(x: Tensor, filters: Sequence[Tensor]) -> list[Tensor]:
    """Pictures (n, 3, H, W) in [-1, 1] -> the answers of each layer: (n, C, h, w), half as large each time."""
    found = []
    for weight in filters:
        x = functional.relu(functional.conv2d(x, weight, stride=2, padding=weight.shape[2] // 2))
        found.append(x)
    return found


def inception(weights: Path | None, device: torch.device) -> Features:
    """The last pooling layer of torch-fidelity's Inception (2048). weights: its state dict, or None for torch's cache.

    Raises ``InputError`` naming the flag where the package or the weights are missing or do not fit.
    """
    import_torchvision()  # torch-fidelity would fail where its compiled part does not fit
    module = need("torch_fidelity.feature_extractor_inceptionv3", "torch-fidelity", "--features inception")
    file = weights or cached_inception()
    if file is None:
        raise InputError(
            f"--features inception needs weights, and {INCEPTION_FILE} is not in torch's cache; pass "
            "--weights inception=FILE or take --features builtin"
        )
    with fitting(f"--weights inception={file}", "torch-fidelity's Inception"):
        torch.load(file, map_location="cpu", weights_only=True)  # the package would run code from the file
        network = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(file)).to(device)
    return Features("Inception of torch-fidelity", lambda pictures: network(pictures.to(device))[0], None)


def cached_inception() -> Path | None:
    """Where torch-fidelity's own download would be, if it is there."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
    return file if file.is_file() else None
