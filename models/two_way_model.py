"""What methods share that learn A -> B and B -> A with a generator and a discriminator each."""

from __future__ import annotations

from argparse import Namespace, _ArgumentGroup
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from engine.optimizer import GuardedAdam
from engine.update import Pictures
from instagan.flag_types import finite
from instagan.losses import lsgan, vanilla
from instagan.networks.blocks import TRANSPOSED, UPSAMPLING, initialise
from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import InstanceBatch
from models.translation_model import TranslationModel

PUBLISHED = {"A": 10.0, "B": 10.0, "idt": 0.5, "ctx": 0.0}
"""CycleGAN's weights."""

Networks = dict[str, nn.Module]
"""By source domain, "A" and "B"."""


@dataclass(frozen=True, eq=False)
class Way:
    """The networks of source -> target: G translates, F translates back, D judges the target domain."""

    source: str
    target: str
    G: nn.Module
    F: nn.Module
    D: nn.Module
    lambda_cyc: float
    lambda_idt: float
    lambda_ctx: float

    def pictures(self, real: InstanceBatch, fake: InstanceBatch, reconstructed: InstanceBatch) -> Pictures:
        return {f"real_{self.source}": real, f"fake_{self.target}": fake, f"rec_{self.source}": reconstructed}


class TwoWayModel(TranslationModel):
    """Networks by source domain, an image pool for each discriminator, one optimizer for both networks of a kind."""

    def __init__(
        self,
        generators: Networks,
        discriminators: Networks,
        *,
        lambdas: dict[str, float] | None = None,
        least_squares: bool = True,
        pool_size: int = 50,
        seed: int = 0,
        lr: float = 2e-4,
        lr_D: float | None = None,
        beta1: float = 0.5,
    ) -> None:
        """generators["A"] translates A -> B, discriminators["A"] judges its results.

        lambdas: weights "A", "B" (cycle, by source domain), and relative to those "idt" (identity), "ctx" (context);
        those of ``PUBLISHED`` where they are not given.
        """
        super().__init__()
        weights = PUBLISHED | (lambdas or {})
        self.networks = nn.ModuleDict(
            {f"G_{name}": net for name, net in generators.items()}
            | {f"D_{name}": net for name, net in discriminators.items()}
        )
        self.pools = {name: ImagePool(pool_size, seed + place) for place, name in enumerate("AB")}
        self.gan_loss = lsgan if least_squares else vanilla
        self.discriminators = list(discriminators.values())
        self.optimizer_G = GuardedAdam(generators.values(), lr, beta1)
        self.optimizer_D = GuardedAdam(discriminators.values(), lr if lr_D is None else lr_D, beta1)
        self.ways = [
            Way(
                source, target, generators[source], generators[target], discriminators[source],
                lambda_cyc=weights[source],
                lambda_idt=weights[source] * weights["idt"],
                lambda_ctx=weights[source] * weights["ctx"],
            )
            for source, target in self.directions
        ]  # fmt: skip

    def optimizers(self) -> dict[str, GuardedAdam]:
        return {"G": self.optimizer_G, "D": self.optimizer_D}


def add_weights(group: _ArgumentGroup, idt: float, *spellings: str) -> None:
    """The flags for the weights of the cycle losses and, relative to those, of the identity loss."""
    group.add_argument("--lambda_A", type=finite(), default=10.0, help="weight of the cycle loss A -> B -> A")
    group.add_argument("--lambda_B", type=finite(), default=10.0, help="weight of the cycle loss B -> A -> B")
    group.add_argument(
        "--lambda_idt", *spellings, type=finite(), default=idt, help="identity loss, relative to lambda_A and _B"
    )


def channels_of(options: Namespace) -> dict[str, dict[str, int]]:
    """The channels that the generator of each domain takes and gives."""
    a, b = options.input_nc, options.output_nc
    return {"A": {"input_nc": a, "output_nc": b}, "B": {"input_nc": b, "output_nc": a}}


def are_unequal(options: Namespace) -> bool:
    """Whether images of A and of B differ in channels, so that they cannot be compared."""
    return bool(options.input_nc != options.output_nc)


def unequal(options: Namespace) -> str:
    """Why something is left out."""
    return f"images of A have other channels ({options.input_nc}) than those of B ({options.output_nc})"


def drop_comparisons(options: Namespace) -> None:
    """No loss compares images of A with images of B, nor gives a generator an image of its target domain."""
    for name in ("lambda_idt", "lambda_ctx"):
        if are_unequal(options) and getattr(options, name, 0):
            setattr(options, name, 0.0)


def add_upsample(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--upsample",
        choices=tuple(UPSAMPLING),
        default=TRANSPOSED,
        help="how generators double the size: transposed convolutions, or nearest-neighbour upsampling and a "
        "convolution, against checkerboard patterns",
    )


def two_way_arguments(options: Namespace) -> dict[str, Any]:
    """What the flags say of the arguments of ``TwoWayModel``."""
    return {
        "lambdas": {name: vars(options)[f"lambda_{name}"] for name in PUBLISHED if f"lambda_{name}" in options},
        "least_squares": not options.no_lsgan,
        "pool_size": options.pool_size,
        "seed": options.seed,
        "lr": options.lr,
        "lr_D": options.lr_D,
        "beta1": options.beta1,
    }


def initialise_all(options: Namespace, *networks: Networks) -> None:
    """Draws the weights as ``--init_type`` and ``--init_gain`` say."""
    for network in (network for by_name in networks for network in by_name.values()):
        initialise(network, options.init_type, options.init_gain)


def union_of(source: InstanceBatch) -> InstanceBatch:
    """A picture's instances as one: a single slot with the union of the masks, absent where there is none."""
    union = source.union()  # (B, 1, H, W)
    labels = torch.zeros_like(union[:, :, 0, 0], dtype=torch.long)
    return InstanceBatch(source.image, union, source.present.any(1, keepdim=True), labels)
