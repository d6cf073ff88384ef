"""LPIPS of the background, by the package lpips: how different two pictures look to a network."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from instagan.errors import InputError
from instagan.io.optional import need
from instagan.io.tensor_files import fitting
from instagan.io.torchvision_import import import_torchvision
from instagan.metrics.crops import as_batch

TRUNK_FILE = "alexnet-owt-7be5be79.pth"
"""As torchvision names AlexNet's weights in torch's cache."""
LEAST_SIDE = 64
"""AlexNet shrinks smaller pictures to nothing: they are enlarged."""

Lpips = Callable[[np.ndarray, np.ndarray, np.ndarray], float]
"""Two pictures (H, W, 3) uint8 and where to compare them (H, W) bool -> distance, 0 for equal ones."""


def lpips(weights: Path | None, device: torch.device) -> Lpips:
    """LPIPS with AlexNet. weights: torchvision's state dict of AlexNet, or None for torch's cache.

    Elsewhere than ``where`` the second picture counts as unchanged. Raises ``InputError`` naming the flag.
    """
    import_torchvision()
    module = need("lpips", "lpips", "--lpips")
    file = weights or Path(torch.hub.get_dir()) / "checkpoints" / TRUNK_FILE
    if not file.is_file():
        raise InputError(
            f"--lpips needs AlexNet's weights, and {file} is not there; pass --weights lpips=FILE or drop --lpips"
        )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchvision, about how the package calls it
        network = module.LPIPS(net="alex", pnet_rand=True, spatial=True, verbose=False)
    with fitting(f"--weights lpips={file}", "torchvision's alexnet"):
        state = torch.load(file, map_location="cpu", weights_only=True)
        for part in (getattr(network.net, f"slice{number}") for number in range(1, 6)):
            part.load_state_dict({name: state[f"features.{name}"] for name in part.state_dict()})
    network.eval().requires_grad_(False).to(device)

    def distance(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
        composite = np.where(where[..., None], other, one)
        a, b = (as_batch([picture], None).to(device).float() / 127.5 - 1 for picture in (one, composite))
        factor = -(-LEAST_SIDE // min(a.shape[2:]))
        if factor > 1:
            a, b = (x.repeat_interleave(factor, 2).repeat_interleave(factor, 3) for x in (a, b))
        with torch.inference_mode():
            everywhere = network(a, b)[0, 0]  # (H, W)
        return float(everywhere[::factor, ::factor].cpu().numpy()[where].mean())

    return distance
