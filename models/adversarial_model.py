"""What the methods with two generators and two discriminators share: what they hold, and the flags for it."""

from __future__ import annotations

from argparse import Namespace, _ArgumentGroup
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from engine.optimizer import GuardedAdam
from instagan.flag_types import finite
from instagan.losses import lsgan, vanilla
from instagan.networks.blocks import initialise
from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import InstanceBatch
from models.translation_model import TranslationModel

FEW_PIXELS = 2**15
"""Pixels of two batches up to which one call of a network on both is faster than two, whatever the network's width.
Beyond that it would only hold more memory."""


class AdversarialModel(TranslationModel):
    """Networks by source domain, a pool of fakes for each discriminator, one optimizer for both of a kind."""

    few_pixels = FEW_PIXELS

    def __init__(
        self,
        generators: dict[str, nn.Module],
        discriminators: dict[str, nn.Module],
        *,
        least_squares: bool = True,
        pool_size: int = 50,
        seed: int = 0,
        lr: float = 2e-4,
        lr_D: float | None = None,
        beta1: float = 0.5,
    ) -> None:
        """generators["A"] translates A -> B, discriminators["A"] judges its results."""
        super().__init__()
        self.networks = nn.ModuleDict(
            {f"G_{name}": net for name, net in generators.items()}
            | {f"D_{name}": net for name, net in discriminators.items()}
        )
        self.pools = {name: ImagePool(pool_size, seed + place) for place, name in enumerate("AB")}
        self.gan_loss = lsgan if least_squares else vanilla
        self.optimizer_G, self.optimizer_D = (
            GuardedAdam([p for net in nets.values() for p in net.parameters()], rate, beta1)
            for nets, rate in ((generators, lr), (discriminators, lr if lr_D is None else lr_D))
        )

    def reconstruct(
        self, F: nn.Module, translated: InstanceBatch, source: InstanceBatch, identity: bool
    ) -> tuple[InstanceBatch, InstanceBatch | None]:
        """F(translated), and F(source) where that is wanted and costs hardly more: None where it does not.

        Both batches have the same rows, slots and size.
        """
        if not (identity and self._together(translated, source)):
            return F(translated), None
        made = F(InstanceBatch.cat([translated, source]))
        return made[: len(source)], made[len(source) :]

    def discriminator_loss(self, D: nn.Module, real: InstanceBatch, fake: InstanceBatch) -> Tensor:
        """Half the sum of D's losses on real pictures and on fakes: (), a mean over rows."""
        if self._together(real, fake):
            of_real, of_fake = D(InstanceBatch.cat([real, fake])).split(len(real))
        else:
            of_real, of_fake = D(real), D(fake)
        return (self.gan_loss(of_real, True) + self.gan_loss(of_fake, False)) / 2

    def _together(self, *batches: InstanceBatch) -> bool:
        """Whether a network is to see these batches in one call."""
        sizes = {tuple(batch.image.shape[2:]) for batch in batches}
        return len(sizes) == 1 and sum(batch.image[:, 0].numel() for batch in batches) <= self.few_pixels

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"G": self.optimizer_G, "D": self.optimizer_D}


def add_weights(group: _ArgumentGroup, idt: float, *spellings: str) -> None:
    """The flags for the weights of the cycle losses and, relative to those, of the identity loss."""
    group.add_argument("--lambda_A", type=finite(), default=10.0, help="weight of the cycle loss A -> B -> A")
    group.add_argument("--lambda_B", type=finite(), default=10.0, help="weight of the cycle loss B -> A -> B")
    group.add_argument(
        "--lambda_idt", *spellings, type=finite(), default=idt, help="identity loss, relative to lambda_A and _B"
    )


def arguments(options: Namespace) -> dict[str, Any]:
    """What the flags say of the arguments of ``AdversarialModel``."""
    return {
        "least_squares": not options.no_lsgan,
        "pool_size": options.pool_size,
        "seed": options.seed,
        "lr": options.lr,
        "lr_D": options.lr_D,
        "beta1": options.beta1,
    }


def initialise_all(networks: Iterable[nn.Module], options: Namespace) -> None:
    for network in networks:
        initialise(network, options.init_type, options.init_gain)
