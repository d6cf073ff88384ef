"""CycleGAN (Zhu, Park, Isola, Efros, ICCV 2017) on pictures.

Pictures only, or with ``--with_masks`` the union of a picture's masks as a fourth channel, translated along: the
method ``cycle_gan_seg``.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, _ArgumentGroup
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.global_batch import GlobalBatch
from instagan.losses import set_l1
from instagan.networks.discriminators import PatchDiscriminator
from instagan.networks.generators import ResnetGenerator
from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from models.adversarial_model import AdversarialModel, add_weights, arguments, initialise_all
from models.translation_model import (
    Losses,
    Pictures,
    backpropagate,
    descend,
    frozen,
    mean_losses,
    weighted,
)

BLOCKS = {"resnet_9blocks": 9, "resnet_6blocks": 6}


@dataclass(frozen=True)
class Direction:
    """The networks of source -> target and the weights of its content losses."""

    source: str
    target: str
    G: nn.Module
    F: nn.Module
    D: nn.Module
    pool: ImagePool
    lambda_cyc: float
    lambda_idt: float


@dataclass(frozen=True)
class Played:
    """What one batch of one direction gave: its share in all rows, detached losses and pictures, what D holds real."""

    direction: Direction
    batch: int  # its number among those of the update
    share: float
    losses: Losses
    pictures: dict[str, InstanceBatch]
    real: InstanceBatch


class CycleGanModel(AdversarialModel):
    """Two generators and two discriminators; instances are seen as one mask at the most."""

    architecture = ("with_masks",)

    def __init__(
        self,
        generators: dict[str, nn.Module],
        discriminators: dict[str, nn.Module],
        *,
        with_masks: bool = False,
        lambdas: dict[str, float] | None = None,
        **adversarial: Any,
    ) -> None:
        """lambdas: weights "A", "B" (cycle) and "idt" (relative to those); the rest is ``AdversarialModel``'s."""
        super().__init__(generators, discriminators, **adversarial)
        weights = {"A": 10.0, "B": 10.0, "idt": 0.5} | (lambdas or {})
        self.with_masks = with_masks
        self.directions = [
            Direction(
                source, target, generators[source], generators[target], discriminators[source], self.pools[source],
                lambda_cyc=weights[source],
                lambda_idt=weights[source] * weights["idt"],
            )
            for source, target in ("AB", "BA")
        ]  # fmt: skip

    def training_step(self, *pairs: UnpairedBatch, joint: GlobalBatch | None = None) -> tuple[Losses, Pictures]:
        joint = joint or GlobalBatch.of(pairs)
        played: list[Played] = []
        with frozen(*(way.D for way in self.directions)):
            backpropagate(self.optimizer_G, self._generator_objectives(pairs, played, joint))
        judged = [(way, *self._judged(way, played, joint)) for way in self.directions]
        gradients_G = joint.world.add_gradients(way.G for way in self.directions)
        backpropagate(self.optimizer_D, self._discriminator_objectives(judged))
        gradients_D = joint.world.add_gradients(way.D for way in self.directions)
        descend(self.optimizer_G, gradients_G)
        descend(self.optimizer_D, gradients_D)
        names = [name for way in self.directions for name in self._loss_names(way)]
        losses = mean_losses(
            [(one.share, one.losses) for one in played],
            dict.fromkeys(names, 1),
            joint.world,
            next(self.parameters()),
        )
        return losses, {one.direction.source: one.pictures for one in played if one.batch == 0}

    def _loss_names(self, way: Direction) -> list[str]:
        content = [f"cyc_{way.source}"] + ([f"idt_{way.target}"] if way.lambda_idt > 0 else [])
        return [f"G_{way.source}", *content, f"D_{way.source}"]

    def _generator_objectives(
        self, pairs: Sequence[UnpairedBatch], played: list[Played], joint: GlobalBatch
    ) -> Iterator[Tensor]:
        """GAN and cycle loss, then identity loss, of each direction of each batch; notes on the way what was played."""
        for batch, pair in enumerate(pairs):
            real = {"A": self._seen(pair.a), "B": self._seen(pair.b)}
            for way in self.directions:
                source, losses, share = real[way.source], Losses(), joint.share(way.source, batch)
                fake = way.G(source)
                reconstructed, same = self.reconstruct(way.F, fake, source, way.lambda_idt > 0)
                losses[f"G_{way.source}"] = self.gan_loss(way.D(fake), True)
                losses[f"cyc_{way.source}"] = way.lambda_cyc * set_l1(reconstructed, source)
                if same is not None:
                    losses[f"idt_{way.target}"] = way.lambda_idt * set_l1(same, source)
                yield weighted(torch.stack(list(losses.values())).sum(), share)
                if way.lambda_idt > 0 and same is None:
                    losses[f"idt_{way.target}"] = way.lambda_idt * set_l1(way.F(source), source)
                    yield weighted(losses[f"idt_{way.target}"], share)
                pictures = {
                    f"real_{way.source}": source,
                    f"fake_{way.target}": fake.detach(),
                    f"rec_{way.source}": reconstructed.detach(),
                }
                detached = {name: loss.detach() for name, loss in losses.items()}
                played.append(Played(way, batch, share, detached, pictures, real[way.target]))

    def _judged(
        self, way: Direction, played: list[Played], joint: GlobalBatch
    ) -> tuple[list[Played], list[InstanceBatch]]:
        """What D of a direction is to judge: this rank's batches, and for each a batch of (pooled) fakes."""
        batches = [one for one in played if one.direction is way]
        fakes = [one.pictures[f"fake_{way.target}"] for one in batches]
        return batches, joint.shown(way.pool, fakes, next(way.G.parameters()), way.source, int(self.with_masks), 1)

    def _discriminator_objectives(
        self, judged: list[tuple[Direction, list[Played], list[InstanceBatch]]]
    ) -> Iterator[Tensor]:
        for way, batches, shown in judged:
            for one, fake in zip(batches, shown, strict=True):
                loss = self.discriminator_loss(way.D, one.real, fake)
                one.losses[f"D_{way.source}"] = loss.detach()
                yield weighted(loss, one.share)

    def _seen(self, source: InstanceBatch) -> InstanceBatch:
        """What the networks see of a batch: no slots, or one that holds the union of the masks."""
        if not self.with_masks:
            return source.slots(0, 0)
        union = source.union()  # (B, 1, H, W)
        labels = torch.zeros_like(union[:, :, 0, 0], dtype=torch.long)
        return InstanceBatch(source.image, union, source.present.any(1, keepdim=True), labels)

    @torch.no_grad()
    def translate(self, source: InstanceBatch, to: str = "b") -> InstanceBatch:
        """The pictures translated as a whole, with no slot or with one (the union of the masks)."""
        (way,) = (way for way in self.directions if way.target.lower() == to)
        return way.G(self._seen(source))

    @staticmethod
    def dataset_mode(options: Namespace) -> str:
        return "unaligned_seg" if options.with_masks else "unaligned"

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        group = parser.add_argument_group("cycle_gan")
        group.add_argument("--with_masks", action="store_true", help="CycleGAN+Seg: union of masks as fourth channel")
        add_shared_flags(group)

    @classmethod
    def from_options(cls, options: Namespace) -> CycleGanModel:
        return cls.built(options, options.with_masks)

    @classmethod
    def built(cls, options: Namespace, with_masks: bool) -> CycleGanModel:
        sizes = options.norm, BLOCKS[options.netG], with_masks
        generators = {name: ResnetGenerator(options.ngf, *sizes) for name in "AB"}
        discriminators = {
            name: PatchDiscriminator(options.ndf, options.n_layers_D, options.norm, with_masks) for name in "AB"
        }
        initialise_all((*generators.values(), *discriminators.values()), options)
        lambdas = {"A": options.lambda_A, "B": options.lambda_B, "idt": options.lambda_idt}
        return cls(generators, discriminators, with_masks=with_masks, lambdas=lambdas, **arguments(options))


def add_shared_flags(group: _ArgumentGroup) -> None:
    """Those of CycleGAN with and without masks."""
    group.add_argument("--netG", choices=tuple(BLOCKS), default="resnet_9blocks", help="generator")
    group.add_argument("--netD", choices=("basic", "n_layers"), default="basic", help="discriminator (both alike)")
    add_weights(group, 0.5, "--lambda_identity")
