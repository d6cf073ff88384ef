"""InstaGAN one way: A -> B with one generator and one discriminator, half of the networks.

G translates a picture x together with its instance masks a, a few at a time, and D judges domain B, both as InstaGAN
has them (Mo, Cho, Shin, ICLR 2019). What its cycle keeps is kept without a way back, by two losses:

    background  a patch of G(x) where nobody is must resemble the patch of x at the same position more than others of x:
                PatchNCE of CUT (Park, Efros, Zhang, Zhu, ECCV 2020), in features of G's image encoder that heads H
                project
    instances   mask b_k must stay where a_k was: a least share of their union is common to both

The context loss and the identity loss are InstaGAN's; the latter says that G leaves pictures of domain B as they are.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.freezing import frozen
from engine.optimizer import GuardedAdam
from engine.update import Losses, Update
from instagan.errors import InputError
from instagan.flag_types import finite, real, whole, whole_numbers
from instagan.losses import context_l1, lsgan, set_l1, vanilla
from instagan.losses.mask_agreement import mask_agreement
from instagan.losses.patch_nce import at_positions, draw_positions, patch_nce
from instagan.networks.blocks import initialise
from instagan.networks.discriminators import SetDiscriminator
from instagan.networks.generators import SetGenerator
from instagan.networks.projection import ProjectionHeads
from instagan.networks.taps import features_at
from instagan.structures.attributes import MASKS, needs_of
from instagan.structures.calls import each
from instagan.structures.directions import A_TO_B, Direction
from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.one_way import OneWayTranslator, taken
from instagan.structures.sequential import MiniBatch, SequentialMiniBatches
from models.insta_gan_model import ATTRIBUTE_FLAGS, add_set_flags, set_discriminator, set_generator
from models.translation_model import TranslationModel
from models.two_way_model import add_upsample


@dataclass(frozen=True)
class Objective:
    """What is minimised. layers: numbers of the layers of G's image encoder whose features are compared."""

    lambda_gan: float = 1.0
    lambda_nce: float = 1.0
    lambda_mask: float = 2.0
    lambda_ctx: float = 10.0
    lambda_idt: float = 10.0
    least_agreement: float = 0.4
    layers: tuple[int, ...] = (3, 6, 9, 13)
    patches: int = 256  # of a picture and layer, at most
    temperature: float = 0.07


@dataclass(frozen=True, eq=False)
class Turn(MiniBatch):
    """A mini-batch with random numbers for each of its R rows."""

    generators: Sequence[torch.Generator] = ()


class Turns:
    """The mini-batches of a batch, and random numbers for each of its rows."""

    def __init__(self, plan: SequentialMiniBatches, generators: Sequence[torch.Generator]) -> None:
        self.plan, self.generators, self.rows = plan, generators, plan.rows

    def __iter__(self) -> Iterator[Turn]:
        for turn in self.plan:
            yield Turn(**vars(turn), generators=[self.generators[row] for row in turn.rows.tolist()])


class OneWayInstaGanModel(TranslationModel):
    """A set generator G, a set discriminator D, and H: a projection head for each of the compared layers."""

    directions = (A_TO_B,)
    architecture = ("nce_layers", "netF_nc", "netG_blocks", "upsample", *ATTRIBUTE_FLAGS)
    channels = "equal"
    not_inherited = ("ins_max",)

    def __init__(
        self, G: SetGenerator, D: SetDiscriminator, H: ProjectionHeads, objective: Objective, *,
        ins_max: int | None = 4, ins_per: int = 2, set_order: str = "decreasing", attribute: str = MASKS,
        least_squares: bool = True, pool_size: int = 50, seed: int = 0,
        lr: float = 2e-4, lr_D: float | None = None, beta1: float = 0.5,
    ) -> None:  # fmt: skip
        """ins_max, ins_per, set_order, attribute: as of ``InstaGanModel``."""
        super().__init__()
        self.networks, self.pools = nn.ModuleDict({"G_A": G, "D_A": D, "F_A": H}), {"A": ImagePool(pool_size, seed)}
        self.G, self.D, self.H, self.objective = G, D, H, objective
        self.ins_max, self.ins_per, self.set_order, self.attribute = ins_max, ins_per, set_order, attribute
        self.gan_loss = lsgan if least_squares else vanilla
        self.optimizer_G, self.optimizer_F = GuardedAdam([G], lr, beta1), GuardedAdam([H], lr, beta1)
        self.optimizer_D = GuardedAdam([D], lr if lr_D is None else lr_D, beta1)

    def training_step(self, update: Update) -> None:
        """InstaGAN's section 2.3: a few instances at a time; G and H, then D, are stepped after each mini-batch."""
        if update.pairs:  # a picture without instances is shown as it is
            x = self.chosen(update.pairs[0]["A"])
            update.show("A", {"real_A": x, "fake_B": x})

        def turns_of(way: Direction, pair: UnpairedBatch) -> Turns:
            x, y = self.chosen(pair[way.source]), self.chosen(pair[way.target])
            return Turns(SequentialMiniBatches(self.G, x, self.ins_per, real=y), update.generators(pair))

        for turns in update.in_lockstep(self.directions, turns_of):
            with frozen(self.D):
                turns.minimise([self.optimizer_G, self.optimizer_F], self.generator_losses)
            turns.show_pools(self.pools)
            turns.minimise(self.optimizer_D, self.discriminator_losses)

    def generator_losses(self, way: Direction, turn: Turn) -> Iterator[Losses]:
        """L_GAN + L_PatchNCE + L_mask + L_ctx, then L_idt, which is a graph of its own."""
        x, y, objective = turn.source, turn.translated, self.objective  # (x_m, a_m), (y_m, b_m)
        yield {
            "G": objective.lambda_gan * self.gan_loss(self.D(turn.aggregate), real=True),
            "NCE": objective.lambda_nce * self.background_nce(x, y, turn.generators),
            "mask": objective.lambda_mask * mask_agreement(x, y, objective.least_agreement),
            "ctx": objective.lambda_ctx * context_l1(x, y),
        }
        if objective.lambda_idt and turn.real is not None:
            of_B = turn.real.slots(turn.start, turn.start + x.slot_count)
            yield {"idt": objective.lambda_idt * set_l1(self.G(of_B), of_B)}
        return {way.source: {f"fake_{way.target}": turn.result}}

    def background_nce(self, x: InstanceBatch, y: InstanceBatch, generators: Sequence[torch.Generator]) -> Tensor:
        """L_PatchNCE of x and y = G(x), mean over layers, and over the drawn positions where nobody is: (B,)."""
        objective, encoder = self.objective, self.G.image_encoder
        of_y = features_at(encoder, y.image, objective.layers)
        with torch.no_grad():
            of_x = features_at(encoder, x.image, objective.layers)
            occupied = (x.with_slots_of(y).union() + 1) / 2  # (B, 1, H, W)
            positions = [draw_positions(objective.patches, one, generators) for one in of_x]
            keys = self.H(list(map(at_positions, of_x, positions)))
        queries, losses = self.H(list(map(at_positions, of_y, positions))), []
        for query, key, features, where in zip(queries, keys, of_x, positions, strict=True):
            covered = functional.adaptive_max_pool2d(occupied, features.shape[2:])  # (B, 1, h, w)
            free = 1 - at_positions(covered, where)[:, :, 0]  # (B, S)
            of_positions = patch_nce(query, key, objective.temperature)  # (B, S)
            losses.append((free * of_positions).sum(1) / free.sum(1).clamp(min=1))
        return torch.stack(losses).mean(0)

    def discriminator_losses(self, way: Direction, turn: Turn) -> Iterator[Losses]:
        """Real pictures with all of their masks against the (pooled) translations up to this mini-batch."""
        assert turn.real is not None and turn.shown is not None
        of_real, of_fake = each(self.D, turn.real, turn.shown)
        yield {"D": (self.gan_loss(of_real, real=True) + self.gan_loss(of_fake, real=False)) / 2}

    def chosen(self, source: InstanceBatch) -> InstanceBatch:
        """At most ``ins_max`` instances of each row, in the order in which they are translated."""
        return taken(source, self.ins_max, self.set_order)

    def translators(self) -> dict[Direction, OneWayTranslator]:
        return {A_TO_B: OneWayTranslator(self.G, needs_of(self.attribute), self.ins_per, self.set_order, self.ins_max)}

    def optimizers(self) -> dict[str, GuardedAdam]:
        return {"G": self.optimizer_G, "D": self.optimizer_D, "F": self.optimizer_F}

    @staticmethod
    def dataset_mode(options: Namespace) -> str:
        return "unaligned_seg"

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        group = parser.add_argument_group("one_way_insta_gan")
        add_set_flags(group, training)
        add_upsample(group)
        flag = group.add_argument
        flag("--lambda_GAN", type=finite(), default=Objective.lambda_gan, help="weight of the GAN loss")
        flag("--lambda_NCE", type=finite(), default=Objective.lambda_nce, help="weight of PatchNCE on background")
        flag("--lambda_mask", type=finite(), default=Objective.lambda_mask, help="weight of mask agreement")
        flag("--lambda_ctx", type=finite(), default=Objective.lambda_ctx, help="weight of the context loss")
        flag("--lambda_idt", type=finite(), default=Objective.lambda_idt, help="weight of the identity loss of B")
        flag(
            "--least_agreement", type=real(0, 1, above=True), default=Objective.least_agreement,
            help="share of their union that a mask and its translation must have in common",
        )  # fmt: skip
        layers = ",".join(map(str, Objective.layers))
        flag("--nce_layers", type=whole_numbers, default=layers, help="layers of G's image encoder that are compared")
        flag("--nce_T", type=finite(above=True), default=Objective.temperature, help="temperature of the PatchNCE loss")
        flag("--num_patches", type=whole(1), default=Objective.patches, help="most patches compared per image, layer")
        flag("--netF_nc", type=whole(1), default=256, help="channels of the projection heads")

    @classmethod
    def from_options(cls, options: Namespace) -> OneWayInstaGanModel:
        G = set_generator(options, options.input_nc, options.output_nc)
        D = set_discriminator(options, options.output_nc)
        layers = tuple(map(int, options.nce_layers.split(",")))
        if max(layers) >= len(G.image_encoder):
            most = len(G.image_encoder) - 1
            raise InputError(
                f"--nce_layers {options.nce_layers}: the encoder's layers are 0 to {most} with --netG_blocks "
                f"{options.netG_blocks}; name some of those"
            )
        with torch.no_grad():
            example = features_at(G.image_encoder, torch.zeros(1, options.input_nc, 8, 8), layers)
        H = ProjectionHeads([features.shape[1] for features in example], options.netF_nc)
        initialise(nn.ModuleList([G, D, H]), options.init_type, options.init_gain)
        weights = [getattr(options, f"lambda_{name}") for name in ("GAN", "NCE", "mask", "ctx", "idt")]
        objective = Objective(*weights, options.least_agreement, layers, options.num_patches, options.nce_T)
        return cls(
            G, D, H, objective, ins_max=options.ins_max, ins_per=options.ins_per, set_order=options.set_order,
            attribute=options.attribute,
            least_squares=not options.no_lsgan, pool_size=options.pool_size, seed=options.seed,
            lr=options.lr, lr_D=options.lr_D, beta1=options.beta1,
        )  # fmt: skip
