"""Star InstaGAN: one generator for any number of domains, in which every instance is told what it is to become.

InstaGAN's sets, mini-batches and losses with StarGAN's one generator and classifying discriminator (Choi, Choi, Kim,
Ha, Kim, Choo, CVPR 2018): G translates a picture x with pairs (a, t) of a mask and the category that this instance is
to become, its own among them; D judges pictures and tells categories. "A" and "B" are two draws from one pool of all
domains: what is translated, and the real pictures of the update.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.freezing import frozen
from engine.optimizer import GuardedAdam
from engine.update import Losses, Update
from instagan.errors import InputError
from instagan.flag_types import finite, real
from instagan.io.categories import names_by_place, split_names
from instagan.losses import context_l1, lsgan, set_l1, vanilla
from instagan.networks.blocks import initialise
from instagan.networks.star import (
    ClassifyingSetDiscriminator,
    Judgement,
    TargetedSetGenerator,
    one_hot,
)
from instagan.structures.attributes import MASKS, needs_of
from instagan.structures.calls import each
from instagan.structures.directions import A_TO_B, Direction
from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.one_way import OneWayTranslator, taken
from instagan.structures.sequential import MiniBatch, SequentialMiniBatches
from models.insta_gan_model import ATTRIBUTE_FLAGS, add_set_flags, planes
from models.translation_model import TranslationModel
from models.two_way_model import add_upsample


@dataclass(frozen=True)
class Weights:
    """cls: classification of fakes, and of real pictures; idt and ctx are relative to cyc."""

    cyc: float = 10.0
    idt: float = 1.0
    ctx: float = 1.0
    cls: float = 1.0


@dataclass(frozen=True)
class Sets:
    """most: instances of a picture that are taken (None: all); per: how many at a time; order: in which; attribute:
    what is told of each; mixed: share of the pictures of which any categories are asked, also those that no real
    picture shows together."""

    most: int | None = 4
    per: int = 2
    order: str = "decreasing"
    attribute: str = MASKS
    mixed: float = 0.0


class StarInstaGanModel(TranslationModel):
    """One generator, one discriminator, one image pool."""

    directions = (A_TO_B,)
    architecture = ("domains", "netG_blocks", "upsample", *ATTRIBUTE_FLAGS)
    not_inherited = ("ins_max",)

    def __init__(
        self, G: TargetedSetGenerator, D: ClassifyingSetDiscriminator, weights: Weights = Weights(),
        sets: Sets = Sets(), asked: int | Sequence[int] | None = None, least_squares: bool = True, pool_size: int = 50,
        seed: int = 0, lr: float = 2e-4, lr_D: float | None = None, beta1: float = 0.5,
    ) -> None:  # fmt: skip
        """asked: what instances become in translating: one category for all, or one for each slot, beyond which they
        stay what they are; None: the next category of each."""
        super().__init__()
        self.networks, self.pools = nn.ModuleDict({"G_A": G, "D_A": D}), {"A": ImagePool(pool_size, seed)}
        self.G, self.D, self.weights, self.sets, self.asked = G, D, weights, sets, asked
        self.gan_loss = lsgan if least_squares else vanilla
        self.optimizer_G = GuardedAdam([G], lr, beta1)
        self.optimizer_D = GuardedAdam([D], lr if lr_D is None else lr_D, beta1)

    def training_step(self, update: Update) -> None:
        """A few instances at a time, as InstaGAN; G, then D, is stepped after each mini-batch."""
        for pair in update.pairs[:1]:  # a picture without instances is shown as it is
            x = self.chosen(pair["A"])
            update.show("A", {"real_A": x, "fake_B": x, "rec_A": x})
        for turns in update.in_lockstep(self.directions, lambda _, pair: self.turns(pair, update.generators(pair))):
            with frozen(self.D):
                turns.minimise(self.optimizer_G, self.generator_losses)
            turns.show_pools(self.pools)
            turns.minimise(self.optimizer_D, self.discriminator_losses)

    def turns(self, pair: UnpairedBatch, generators: Sequence[torch.Generator]) -> SequentialMiniBatches:
        x, y = self.chosen(pair["A"]), self.chosen(pair["B"])
        x = replace(x, targets=self.drawn_targets(x, y, generators))
        return SequentialMiniBatches(self.G, x, self.sets.per, real=y)

    def drawn_targets(self, x: InstanceBatch, y: InstanceBatch, generators: Sequence[torch.Generator]) -> Tensor:
        """(B, N): for each instance of x a category out of those that y shows, its own too; out of all where y shows
        none, and in a share of the rows, ``sets.mixed``. A row's generator draws for the row.

        Where real pictures have one category each, so have translations. Were all of them mixed there, D would know
        them by the mix, whatever G does.
        """
        everything = torch.arange(self.G.count, device=x.image.device).expand(len(y), -1)
        known = torch.cat([y.labels, everything], dim=1)  # (B, M + K), M slots of y
        picked = torch.full(x.present.shape, y.slot_count)  # (B, N)
        for row, generator in enumerate(generators):
            there, shown = x.present[row], y.present[row].nonzero().flatten()
            any_of_all = not len(shown) or self.sets.mixed > 0 and self.sets.mixed > torch.rand((), generator=generator)
            among = torch.arange(y.slot_count, known.shape[1]) if any_of_all else shown
            picked[row, there] = among[torch.randint(len(among), (int(there.sum()),), generator=generator)]
        return known.gather(1, picked.to(x.image.device, non_blocking=True))

    def generator_losses(self, way: Direction, turn: MiniBatch) -> Iterator[Losses]:
        """L_LSGAN + L_cls + L_cyc + L_ctx, then L_idt: what is to stay as it is must stay."""
        x, y, weights = turn.source, turn.translated, self.weights  # (x_m, a_m, t_m), (y_m, b_m)
        back, same = replace(y, targets=x.labels), replace(x, targets=x.labels)
        of_G = each(self.G, back, same) if weights.idt else each(self.G, back)
        reconstructed, judged = next(of_G), self.D(turn.aggregate)
        losses = {
            "G": self.gan_loss(judged.score, real=True),
            "cls": weights.cls * self.classification(judged, turn.aggregate, waiting(turn)),
            "cyc": weights.cyc * set_l1(reconstructed, x),
        }
        if weights.ctx:
            losses["ctx"] = weights.cyc * weights.ctx * context_l1(x, y)
        yield losses
        if weights.idt:
            yield {"idt": weights.cyc * weights.idt * set_l1(next(of_G), same)}
        pictures = {"fake_B": turn.result}
        if turn.start == 0:
            pictures["rec_A"] = turn.within_whole(reconstructed)
        return {way.source: pictures}

    def discriminator_losses(self, way: Direction, turn: MiniBatch) -> Iterator[Losses]:
        """Real pictures with all of their masks against the (pooled) translations; categories of real ones alone."""
        assert turn.real is not None and turn.shown is not None
        of_real, of_fake = self.D(turn.real), self.D(turn.shown)
        scores = self.gan_loss(of_real.score, real=True) + self.gan_loss(of_fake.score, real=False)
        yield {"D": scores / 2, "cls_real": self.weights.cls * self.classification(of_real, turn.real)}

    def classification(self, judged: Judgement, shown: InstanceBatch, beside: InstanceBatch | None = None) -> Tensor:
        """Cross entropy with the labels, (B,): of what the picture shows, and of each instance's look and mask.

        beside: instances that the picture shows, too, whose masks D was not shown.
        """
        owner, slot = shown.instances()  # (P,), (P,)
        labels = shown.labels[owner, slot]  # (P,)
        everybody = shown if beside is None else shown.with_slots_of(beside)
        rows, slots = everybody.instances()
        found = one_hot(everybody.labels[rows, slots], self.G.count)  # (all of them, K)
        shows = torch.zeros_like(judged.of_picture).index_add(0, rows, found.to(judged.of_picture))
        shows = shows.clamp(max=1)  # (B, K)
        of_picture = functional.binary_cross_entropy_with_logits(judged.of_picture, shows, reduction="none").mean(1)
        of_instance = functional.cross_entropy(judged.of_look, labels, reduction="none")
        of_instance = of_instance + functional.cross_entropy(judged.of_mask, labels, reduction="none")  # (P,)
        nothing = torch.zeros_like(of_picture)  # (B,)
        counts = nothing.index_add(0, owner, torch.ones_like(of_instance)).clamp(min=1)
        return of_picture + nothing.index_add(0, owner, of_instance) / counts

    def chosen(self, source: InstanceBatch) -> InstanceBatch:
        """At most ``sets.most`` instances of each row, in the order in which they are translated."""
        return taken(source, self.sets.most, self.sets.order)

    def translators(self) -> dict[Direction, OneWayTranslator]:
        how = (*needs_of(self.sets.attribute), "targets"), self.sets.per, self.sets.order, self.sets.most
        return {A_TO_B: OneWayTranslator(self.G, *how)}

    def translate(self, source: InstanceBatch, to: str = "b", style: Any = None) -> InstanceBatch:
        """What the batch asks for (``targets``), else what was asked for when the model was made."""
        if source.targets is None:
            source = replace(source, targets=self.asked_targets(source))
        return super().translate(source, to, style)

    def asked_targets(self, source: InstanceBatch) -> Tensor:
        """(B, N)."""
        labels, asked = source.labels, self.asked
        if asked is None:
            return (labels + 1) % self.G.count
        if isinstance(asked, int):
            return torch.full_like(labels, asked)
        by_slot = labels.new_tensor(asked[: source.slot_count]).expand(len(source), -1)  # (B, n)
        return torch.cat([by_slot, labels[:, by_slot.shape[1] :]], dim=1)

    def check_categories(self, named: Mapping[str, Sequence[str]]) -> None:
        names = self.G.categories
        for found in named.values():
            if tuple(found) != names:
                raise InputError(
                    f"--domains {','.join(names)}: the data set's categories are {','.join(found)}; name those, "
                    "in this order"
                )

    def optimizers(self) -> dict[str, GuardedAdam]:
        return {"G": self.optimizer_G, "D": self.optimizer_D}

    @staticmethod
    def dataset_mode(options: Namespace) -> str:
        return "unaligned_seg"

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        group = parser.add_argument_group("star_insta_gan")
        add_set_flags(group, training)
        add_upsample(group)
        flag = group.add_argument
        flag("--domains", default="A,B", metavar="NAME,NAME", help="folders such as train_horse, or categories")
        if training:
            flag("--lambda_cyc", type=finite(), default=Weights.cyc, help="weight of the cycle loss")
            flag("--lambda_idt", type=finite(), default=Weights.idt, help="identity loss, relative to lambda_cyc")
            flag("--lambda_ctx", type=finite(), default=Weights.ctx, help="context loss, relative to lambda_cyc")
            flag(
                "--mixed", type=real(0, 1), default=Sets.mixed,
                help="share of images whose instances are to become any categories, not those that a real image shows",
            )  # fmt: skip
            flag("--lambda_cls", type=finite(), default=Weights.cls, help="weight of the classification loss")
        else:
            flag("--to", metavar="NAME", help="what all instances become (default: each the next of --domains)")
            flag("--targets", metavar="NAME,NAME", help="what mask 0, 1, ... become, others stay; one: all")

    @classmethod
    def from_options(cls, options: Namespace) -> StarInstaGanModel:
        names = split_names(options.domains)
        if len(names) < 2 or "," in "".join(names):
            raise InputError(f"--domains {options.domains}: name two domains or more, without commas in their names")
        sizes = options.ngf, options.norm, options.netG_blocks
        G = TargetedSetGenerator(*sizes, ",".join(names), planes(options), options.upsample)
        D = ClassifyingSetDiscriminator(options.ndf, options.n_layers_D, options.norm, len(names), planes(options))
        initialise(G, options.init_type, options.init_gain)
        initialise(D, options.init_type, options.init_gain, linear=False)
        weights = {name: vars(options)[f"lambda_{name}"] for name in vars(Weights()) if f"lambda_{name}" in options}
        how = options.set_order, options.attribute, getattr(options, "mixed", Sets.mixed)
        return cls(
            G, D, Weights(**weights), Sets(options.ins_max, options.ins_per, *how),
            asked_for(options, names), not options.no_lsgan, options.pool_size, options.seed,
            options.lr, options.lr_D, options.beta1,
        )  # fmt: skip


def waiting(turn: MiniBatch) -> InstanceBatch:
    """The instances that later mini-batches translate: R rows, the slots behind those of this one."""
    after = turn.start + turn.source.slot_count
    return turn.whole[turn.rows].slots(after, max(after, turn.whole.slot_count))


def asked_for(options: Namespace, names: Sequence[str]) -> int | list[int] | None:
    """What --to and --targets of test.py ask for, as labels. Raises ``InputError`` for a name that is no domain."""
    to, targets = (getattr(options, name, None) for name in ("to", "targets"))
    if to is not None and targets is not None:
        raise InputError("--to and --targets both tell what instances become; drop one of them")
    if to is None and targets is None:
        return None
    flag, typed = ("--targets", names_by_place(targets)) if to is None else ("--to", [to])
    if unknown := [name for name in typed if name not in names]:
        raise InputError(f"{flag} {unknown[0] or '(nothing)'}: the run's domains are {', '.join(names)}; name those")
    labels = [names.index(name) for name in typed]
    return labels[0] if len(labels) == 1 else labels
