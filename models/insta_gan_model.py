"""InstaGAN (Mo, Cho, Shin: Instance-aware Image-to-Image Translation, ICLR 2019): the training step of the paper.

G: source -> target and F: target -> source are generators, D judges the target domain. Everything is written for one
direction and played for (A -> B) and (B -> A). x, a: picture and masks of the source; y, b: what G makes of them.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import cached

from engine.global_batch import GlobalBatch
from instagan.flag_types import finite, whole
from instagan.kernels.allocator import return_free_pages
from instagan.losses import context_l1, set_l1
from instagan.networks.discriminators import SetDiscriminator
from instagan.networks.generators import SetGenerator
from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.sequential import MiniBatch, sequential_mini_batches, translate_in_order
from models.adversarial_model import AdversarialModel, add_weights, arguments, initialise_all
from models.translation_model import (
    Losses,
    Pictures,
    backpropagate,
    descend,
    frozen,
    mean_losses,
    settled,
    step_state,
    weighted,
)

SET_ORDERS = ("decreasing", "random")


@dataclass(frozen=True)
class Direction:
    """The networks of source -> target and the weights of its content losses."""

    source: str  # "A" or "B"; its losses carry this letter, but for the identity loss, named after F's target
    target: str
    G: nn.Module
    F: nn.Module
    D: nn.Module
    pool: ImagePool
    lambda_cyc: float
    lambda_idt: float
    lambda_ctx: float


@dataclass(frozen=True)
class Play:
    """A direction on one batch: its lazy mini-batches, and the real pictures of its target domain, row by row."""

    direction: Direction
    batch: int  # its number among those of the update
    mini_batches: Iterator[MiniBatch]
    real: InstanceBatch


@dataclass(frozen=True)
class PlayedStep:
    """What one mini-batch of one direction gave: detached losses, the translation, the reconstruction F(y_m, b_m)."""

    play: Play
    share: float  # in the rows in play, of all batches and ranks
    losses: Losses
    mini_batch: MiniBatch
    reconstructed: InstanceBatch


@dataclass(frozen=True)
class Judged:
    """What one mini-batch shows one discriminator: the steps of a direction, and for each a batch of (pooled) fakes."""

    direction: Direction
    steps: Sequence[PlayedStep]
    shown: Sequence[InstanceBatch]


class InstaGanModel(AdversarialModel):
    """Set generators and discriminators trained with the losses of the paper, a few instances at a time."""

    not_inherited = ("ins_max",)

    def __init__(
        self,
        generators: dict[str, nn.Module],
        discriminators: dict[str, nn.Module],
        *,
        ins_max: int | None = 4,
        ins_per: int = 2,
        set_order: str = "decreasing",
        lambdas: dict[str, float] | None = None,
        **adversarial: Any,
    ) -> None:
        """ins_max: most instances of a picture that are taken (None: all), ins_per: how many at a time.

        lambdas: weights "A", "B" (cycle, by source domain), "idt", "ctx" (relative to those); paper: 10, 10, 1, 1.
        The rest is ``AdversarialModel``'s.
        """
        super().__init__(generators, discriminators, **adversarial)
        weights = {"A": 10.0, "B": 10.0, "idt": 1.0, "ctx": 1.0} | (lambdas or {})
        self.ins_max, self.ins_per, self.set_order = ins_max, ins_per, set_order
        self.directions = [
            Direction(
                source, target, generators[source], generators[target], discriminators[source], self.pools[source],
                lambda_cyc=weights[source],
                lambda_idt=weights[source] * weights["idt"],
                lambda_ctx=weights[source] * weights["ctx"],
            )
            for source, target in ("AB", "BA")
        ]  # fmt: skip

    def training_step(self, *pairs: UnpairedBatch, joint: GlobalBatch | None = None) -> tuple[Losses, Pictures]:
        """One step on batches of B pairs; losses are means over the mini-batches that each direction took part in."""
        joint = joint or GlobalBatch.of(pairs)
        reported: list[tuple[float, Losses]] = []
        ends: dict[str, list[PlayedStep]] = {}  # of the first batch: all others would grow with the instances
        for played in self.mini_batch_steps(*pairs, joint=joint):
            for step in played:
                reported.append((step.share, step.losses))
                if step.play.batch == 0:
                    ends.setdefault(step.play.direction.source, [])[1:] = [step]
        updates = {
            name: len(range(0, self._most_taken(joint, way), self.ins_per))
            for way in self.directions
            for name in self._loss_names(way)
        }
        updates = {name: count for name, count in updates.items() if count}
        losses = mean_losses(reported, updates, joint.world, next(self.parameters()))
        return losses, self._pictures(pairs[0], ends) if pairs else Pictures()

    def mini_batch_steps(self, *pairs: UnpairedBatch, joint: GlobalBatch | None = None) -> Iterator[list[PlayedStep]]:
        """The paper's training loop on batches of B pairs: G, then D is stepped after every mini-batch.

        Yields the directions in play at each mini-batch, batch by batch: one that has run out of instances is simply
        not there. It is G that waits until D's gradients are computed, which do not depend on it: meanwhile G's travel.
        """
        joint = joint or GlobalBatch.of(pairs)
        world, plays = joint.world, [play for batch, pair in enumerate(pairs) for play in self._plays(batch, pair)]
        generators, discriminators = [way.G for way in self.directions], [way.D for way in self.directions]
        for taken in range(0, max(self._most_taken(joint, way) for way in self.directions), self.ins_per):
            ways = [way for way in self.directions if taken < self._most_taken(joint, way)]
            played: list[PlayedStep] = []
            with frozen(*discriminators):
                backpropagate(self.optimizer_G, self._generator_objectives(plays, played, joint, taken))
            judged = [self._judged(way, played, joint, taken) for way in ways]
            gradients_G = world.add_gradients(generators)
            backpropagate(self.optimizer_D, self._discriminator_objectives(judged))
            gradients_D = world.add_gradients(way.D for way in ways)
            descend(self.optimizer_G, gradients_G)
            descend(self.optimizer_D, gradients_D)
            yield played
            if next(self.parameters()).device.type == "cpu":
                return_free_pages()

    def _plays(self, batch: int, pair: UnpairedBatch) -> list[Play]:
        chosen = {"A": self._choose(pair.a), "B": self._choose(pair.b)}
        return [
            Play(way, batch, sequential_mini_batches(way.G, chosen[way.source], self.ins_per), chosen[way.target])
            for way in self.directions
        ]

    def _most_taken(self, joint: GlobalBatch, way: Direction) -> int:
        """Most instances of any picture that this direction translates, on any rank."""
        most = joint.most_instances(way.source)
        return most if self.ins_max is None else min(most, self.ins_max)

    def _loss_names(self, way: Direction) -> list[str]:
        """The losses of a direction in play, in the order in which they are computed."""
        content = [f"cyc_{way.source}"]
        content += [f"ctx_{way.source}"] if way.lambda_ctx > 0 else []
        content += [f"idt_{way.target}"] if way.lambda_idt > 0 else []
        return [f"G_{way.source}", *content, f"D_{way.source}"]

    def _generator_objectives(
        self, plays: list[Play], played: list[PlayedStep], joint: GlobalBatch, taken: int
    ) -> Iterator[Tensor]:
        """L_lsgan + L_cyc + L_ctx, then L_idt, of each direction still in play: graphs that share nothing.

        Small pictures have one graph for all of it: F sees what it reconstructs and what it keeps in one call.
        """
        for play in plays:
            step = next(play.mini_batches, None)
            if step is None:
                continue
            way, losses = play.direction, Losses()
            share = joint.share(way.source, play.batch, beyond=taken)
            reconstructed, same = self.reconstruct(way.F, step.translated, step.source, way.lambda_idt > 0)
            losses[f"G_{way.source}"] = self.gan_loss(way.D(step.aggregate), True)
            losses[f"cyc_{way.source}"] = way.lambda_cyc * set_l1(reconstructed, step.source)
            if way.lambda_ctx > 0:
                losses[f"ctx_{way.source}"] = way.lambda_ctx * context_l1(step.source, step.translated)
            if same is not None:
                losses[f"idt_{way.target}"] = way.lambda_idt * set_l1(same, step.source)
            yield weighted(torch.stack(list(losses.values())).sum(), share)
            if way.lambda_idt > 0 and same is None:
                losses[f"idt_{way.target}"] = way.lambda_idt * set_l1(way.F(step.source), step.source)
                yield weighted(losses[f"idt_{way.target}"], share)
            detached = {name: loss.detach() for name, loss in losses.items()}
            played.append(PlayedStep(play, share, detached, step, reconstructed.detach()))

    def _judged(self, way: Direction, played: list[PlayedStep], joint: GlobalBatch, taken: int) -> Judged:
        """What D of a direction in play is to judge of this rank's batches, which may be nothing."""
        steps = [step for step in played if step.play.direction is way]
        aggregates, slots = [step.mini_batch.aggregate for step in steps], taken + self.ins_per
        most = self._most_taken(joint, way)
        shown = joint.shown(way.pool, aggregates, next(way.G.parameters()), way.source, slots, most, beyond=taken)
        return Judged(way, steps, shown)

    def _discriminator_objectives(self, judged: list[Judged]) -> Iterator[Tensor]:
        """L_lsgan of each discriminator in play: real pictures with all their masks against (pooled) aggregates."""
        for each in judged:
            way = each.direction
            if not each.steps:
                step_state(way.D)
            for number, (step, fake) in enumerate(zip(each.steps, each.shown, strict=True)):
                # spectral norm: one power step per update, and one division per batch of it
                with cached(), settled(way.D) if number else nullcontext():
                    real = step.play.real[step.mini_batch.rows]
                    loss = self.discriminator_loss(way.D, real, fake)
                step.losses[f"D_{way.source}"] = loss.detach()
                yield weighted(loss, step.share)

    def _order(self, source: InstanceBatch) -> Tensor:
        """Slots (B, N) in the order in which they are taken, absent ones last."""
        return source.order_by_area() if self.set_order == "decreasing" else source.order_of_slots()

    def _choose(self, source: InstanceBatch) -> InstanceBatch:
        """The instances to translate, at most ``ins_max`` of each row, in the order in which they are taken."""
        return source.largest(self.ins_max) if self.set_order == "decreasing" else source.first(self.ins_max)

    def _pictures(self, pair: UnpairedBatch, ends: dict[str, list[PlayedStep]]) -> Pictures:
        """Real, translated (all mini-batches) and reconstructed pictures (of the first mini-batch: x_1 is real).

        ends: by source domain, the first step of the pair and the last.
        """
        pictures: Pictures = {}
        for way, source in zip(self.directions, (pair.a, pair.b), strict=True):
            real = self._choose(source)
            fake = reconstructed = real
            if way.source in ends:
                first, last = ends[way.source][0], ends[way.source][-1]
                fake = last.mini_batch.result
                rest = real[first.mini_batch.rows].slots(self.ins_per, max(real.slot_count, self.ins_per))
                whole = first.reconstructed.with_slots_of(rest).slots(0, real.slot_count)
                reconstructed = real.paste(first.mini_batch.rows, whole)
            pictures[way.source] = {
                f"real_{way.source}": real,
                f"fake_{way.target}": fake,
                f"rec_{way.source}": reconstructed,
            }
        return pictures

    @torch.no_grad()
    def translate(self, source: InstanceBatch, to: str = "b") -> InstanceBatch:
        """The pictures with their instances translated, slots in the order of ``source``.

        Takes at most ``ins_max`` instances of a picture; the others come out absent. A picture without
        instances comes out unchanged.
        """
        (way,) = (way for way in self.directions if way.target.lower() == to)
        return translate_in_order(way.G, source, self._order(source), self.ins_per, self.ins_max)

    @staticmethod
    def dataset_mode(options: Namespace) -> str:
        return "unaligned_seg"

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        group = parser.add_argument_group("insta_gan")
        group.add_argument("--netG", choices=("set",), default="set", help="generator")
        group.add_argument("--netD", choices=("set",), default="set", help="discriminator")
        group.add_argument(
            "--set_order", choices=SET_ORDERS, default="decreasing", help="order in which instances are translated"
        )
        group.add_argument(
            "--ins_max",
            type=whole(1),
            default=4 if training else None,
            help="most instances of a picture that are translated" + ("" if training else " (default: all)"),
        )
        group.add_argument("--ins_per", type=whole(1), default=2, help="instances per mini-batch")
        add_weights(group, 1.0)
        group.add_argument("--lambda_ctx", type=finite(), default=1.0, help="context loss, relative to lambda_A and _B")

    @classmethod
    def from_options(cls, options: Namespace) -> InstaGanModel:
        generators = {name: SetGenerator(options.ngf, options.norm) for name in "AB"}
        discriminators = {name: SetDiscriminator(options.ndf, options.n_layers_D, options.norm) for name in "AB"}
        initialise_all((*generators.values(), *discriminators.values()), options)
        lambdas = {"A": options.lambda_A, "B": options.lambda_B, "idt": options.lambda_idt, "ctx": options.lambda_ctx}
        return cls(
            generators,
            discriminators,
            ins_max=options.ins_max,
            ins_per=options.ins_per,
            set_order=options.set_order,
            lambdas=lambdas,
            **arguments(options),
        )
