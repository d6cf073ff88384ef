"""A binary classifier of the two domains, trained on real pictures: does it take a translation for the target?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from instagan.io.tensor_files import fitting
from instagan.io.torchvision_import import import_torchvision
from instagan.metrics.crops import as_batch

LEAST = 4
"""Real pictures of each domain without which nothing can be learned."""
RELIABLE = 0.75
"""A classifier that is right on fewer of the real validation pictures tells nothing about translations."""
SIDE, WIDTHS = 48, (16, 32, 64)
STEPS, BATCH, RATE = 160, 32, 2e-3
SHIFT = 4
"""Pixels by which training pictures are moved about."""
VGG_SIDE, VGG_STEPS, VGG_RATE = 224, 100, 1e-4
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, which VGG-16 was trained with."""

Make = Callable[[], nn.Module]
"""A new network, taking pictures (n, 3, side, side) in [-1, 1] and giving logits (n,): above 0 is the target."""


@dataclass(frozen=True)
class Kind:
    """What kind of classifier is trained. embed: what is computed once for each picture before, if anything."""

    name: str
    side: int
    make: Make
    steps: int
    rate: float
    embed: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Classifier:
    """A trained one. accuracy: on ``judged`` real pictures that it was not trained on, mean of both domains."""

    kind: Kind
    network: nn.Module
    accuracy: float
    judged: int

    def target(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Probability (n,) that each picture (H, W, 3) uint8 belongs to the target domain."""
        if not pictures:
            return np.zeros(0)
        self.network.eval()
        device = next(self.network.parameters()).device
        found = []
        with torch.inference_mode():
            for start in range(0, len(pictures), BATCH):
                x = _prepared(self.kind, pictures[start : start + BATCH], device)
                found.append(self.network(x).sigmoid())
        return torch.cat(found).double().cpu().numpy()


def small() -> Kind:
    """Three convolutions, trained from scratch: quick, needs no weights, enough where domains differ plainly."""

    def make() -> nn.Module:
        layers: list[nn.Module] = []
        for inputs, outputs in zip((3, *WIDTHS[:-1]), WIDTHS, strict=True):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.GroupNorm(4, outputs), nn.ReLU()]
        return nn.Sequential(*layers, Pooled(), nn.Linear(2 * WIDTHS[-1], 1), nn.Flatten(0))

    return Kind("small network from scratch, not the paper's VGG-16", SIDE, make, STEPS, RATE)


class Pooled(nn.Module):
    """(n, C, h, w) -> (n, 2 C): mean and maximum of every channel, so that one instance among many pixels counts."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x.mean((2, 3)), x.amax((2, 3))), 1)


def vgg16(weights: Path, device: torch.device) -> Kind:
    """As in the paper: torchvision's VGG-16 with ImageNet's weights, its last layers trained on.

    Raises ``InputError`` naming the flag where torchvision is missing or the weights do not fit.
    """
    import_torchvision()
    from torchvision.models import vgg16 as build

    with fitting(f"--weights vgg16={weights}", "torchvision's vgg16"), torch.random.fork_rng(devices=[]):
        state = torch.load(weights, map_location="cpu", weights_only=True)
        whole = build(weights=None, num_classes=len(state["classifier.6.weight"]))
        whole.load_state_dict(state)
    whole = whole.eval().requires_grad_(False).to(device)
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, STD))

    def embed(x: Tensor) -> Tensor:
        """Pictures (n, 3, 224, 224) in [-1, 1] -> the first fully connected layer (n, 4096), which stays as it is."""
        seen = whole.avgpool(whole.features(((x + 1) / 2 - mean) / std))
        return functional.relu(whole.classifier[0](seen.flatten(1)))

    def make() -> nn.Module:
        second = nn.Linear(4096, 4096)
        second.load_state_dict(whole.classifier[3].state_dict())
        return nn.Sequential(second, nn.ReLU(), nn.Dropout(), nn.Linear(4096, 1), nn.Flatten(0))

    return Kind("VGG-16 with its last layers trained on", VGG_SIDE, make, VGG_STEPS, VGG_RATE, embed)


def trained(
    kind: Kind,
    source: Sequence[np.ndarray],
    target: Sequence[np.ndarray],
    held_out: tuple[Sequence[np.ndarray], Sequence[np.ndarray]] | None,
    seed: int,
    device: torch.device,
) -> Classifier | None:
    """A classifier of real pictures (H, W, 3) uint8; None where fewer than ``LEAST`` of a domain are there.

    held_out: other pictures of source and target to find its accuracy on; without them half of the pictures is kept for
    that. Draws nothing from torch's global random state.
    """
    random = np.random.RandomState(seed)
    if held_out is None or min(len(pictures) for pictures in held_out) == 0:
        (source, kept_source), (target, kept_target) = (_halves(pictures, random) for pictures in (source, target))
        held_out = kept_source, kept_target
    if min(len(source), len(target)) < LEAST or min(len(pictures) for pictures in held_out) == 0:
        return None
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        network = kind.make().to(device)
        _learn(kind, network, source, target, random, device)
    unproven = Classifier(kind, network.eval().requires_grad_(False), 0.0, 0)
    right = [float((unproven.target(of) > 0.5).mean()) for of in held_out]
    accuracy = (1 - right[0] + right[1]) / 2
    return Classifier(kind, network, accuracy, len(held_out[0]) + len(held_out[1]))


def _learn(
    kind: Kind,
    network: nn.Module,
    source: Sequence[np.ndarray],
    target: Sequence[np.ndarray],
    random: np.random.RandomState,
    device: torch.device,
) -> None:
    """Batches hold as many pictures of one domain as of the other, however many there are."""
    of = [_prepared(kind, pictures, device) for pictures in (source, target)]
    truth = torch.cat((torch.zeros(BATCH // 2), torch.ones(BATCH // 2))).to(device)  # (BATCH,)
    optimizer = torch.optim.Adam(network.parameters(), kind.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, kind.rate, total_steps=kind.steps)
    network.train()
    for _ in range(kind.steps):
        x = torch.cat([seen[torch.from_numpy(random.randint(len(seen), size=BATCH // 2))] for seen in of])
        loss = functional.binary_cross_entropy_with_logits(network(varied(x, random)), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def _prepared(kind: Kind, pictures: Sequence[np.ndarray], device: torch.device) -> Tensor:
    """Pictures as the network takes them: (n, 3, side, side) in [-1, 1], or what is computed of those once."""
    x = as_batch(pictures, kind.side)
    if kind.embed is None:
        return x.to(device).float() / 127.5 - 1
    with torch.no_grad():
        parts = [kind.embed(part.to(device).float() / 127.5 - 1) for part in x.split(BATCH)]
    return torch.cat(parts)


def varied(x: Tensor, random: np.random.RandomState) -> Tensor:
    """Pictures (n, 3, side, side) mirrored and moved about; anything else as it is."""
    if x.ndim != 4:
        return x
    mirrored = torch.from_numpy(random.rand(len(x)) < 0.5).to(x.device)[:, None, None, None]
    x = torch.where(mirrored, x.flip(3), x)
    down, across = random.randint(0, 2 * SHIFT + 1, size=2).tolist()
    padded = functional.pad(x, (SHIFT,) * 4, mode="replicate")
    return padded[:, :, down : down + x.shape[2], across : across + x.shape[3]]


def _halves(pictures: Sequence[np.ndarray], random: np.random.RandomState) -> tuple[list[np.ndarray], list[np.ndarray]]:
    order = random.permutation(len(pictures)).tolist()
    half = (len(order) + 1) // 2
    return [pictures[k] for k in order[:half]], [pictures[k] for k in order[half:]]
