"""CUT: contrastive learning for unpaired image-to-image translation (Park, Efros, Zhang, Zhu, ECCV 2020), and FastCUT.

G translates A -> B, D judges domain B. There is no way back: content is kept because a patch of G(x) must resemble the
patch of x at the same position more than other patches of x, in features of G's own encoder that the heads F project.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.freezing import frozen
from engine.optimizer import GuardedAdam
from engine.update import Losses, Update
from instagan.errors import InputError
from instagan.flag_types import finite, whole, whole_numbers, yes_or_no
from instagan.losses import lsgan, vanilla
from instagan.losses.patch_nce import at_positions, draw_positions, patch_nce
from instagan.networks.anti_aliased import AntiAliasedGenerator, AntiAliasedPatchDiscriminator
from instagan.networks.blocks import initialise
from instagan.networks.projection import ProjectionHeads
from instagan.structures.directions import A_TO_B, Direction
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.mirroring import draw_mirrored, mirror
from instagan.structures.one_way import OneWayTranslator
from models.translation_model import TranslationModel

BLOCKS = {"resnet_9blocks": 9, "resnet_6blocks": 6}
MODES = {"CUT": (1.0, True, False), "FastCUT": (10.0, False, True)}  # lambda_NCE, nce_idt, flip_equivariance


@dataclass(frozen=True)
class Objective:
    """What is minimised. layers: numbers of the layers of G's encoder whose features are compared."""

    lambda_gan: float = 1.0
    lambda_nce: float = 1.0
    identity: bool = True  # G should leave pictures of domain B as they are
    flip_equivariance: bool = False  # G sees half of the pictures mirrored
    layers: tuple[int, ...] = (0, 4, 8, 12, 16)
    patches: int = 256  # of a picture and layer, at most
    temperature: float = 0.07


@dataclass(frozen=True, eq=False)
class Turn:
    """x, y = G(x), pictures of domain B; which of the B rows G saw mirrored, and random numbers for each row."""

    source: InstanceBatch
    translated: InstanceBatch
    real: InstanceBatch
    mirrored: Tensor
    generators: list[torch.Generator]


class CutModel(TranslationModel):
    """A generator G, a discriminator D, and F: a projection head for each of the compared layers."""

    directions = (A_TO_B,)
    architecture = ("nce_layers", "netF_nc")
    channels = "equal"

    def __init__(
        self, G: AntiAliasedGenerator, D: AntiAliasedPatchDiscriminator, F: ProjectionHeads, objective: Objective,
        least_squares: bool = True, lr: float = 2e-4, lr_D: float | None = None, beta1: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__()
        self.networks, self.pools = nn.ModuleDict({"G_A": G, "D_A": D, "F_A": F}), {}
        self.G, self.D, self.F, self.objective = G, D, F, objective
        self.gan_loss = lsgan if least_squares else vanilla
        self.optimizer_G, self.optimizer_F = GuardedAdam([G], lr, beta1), GuardedAdam([F], lr, beta1)
        self.optimizer_D = GuardedAdam([D], lr if lr_D is None else lr_D, beta1)

    def training_step(self, update: Update) -> None:
        for turns in update.at_once(self.directions, self.turn):
            turns.minimise(self.optimizer_D, self.discriminator_losses)
            with frozen(self.D):
                turns.minimise([self.optimizer_G, self.optimizer_F], self.generator_losses)

    def turn(self, way: Direction, pair: UnpairedBatch, generators: list[torch.Generator]) -> Turn:
        x, real = pair[way.source].slots(0, 0), pair[way.target].slots(0, 0)
        mirrored = draw_mirrored(0.5 * self.objective.flip_equivariance, generators).to(x.image.device)
        return Turn(x, self.G(x.with_image(mirror(x.image, mirrored))), real, mirrored, generators)

    def discriminator_losses(self, way: Direction, turn: Turn) -> Iterator[Losses]:
        of_real, of_fake = self.D(turn.real), self.D(turn.translated.detach())
        yield {"D": (self.gan_loss(of_real, real=True) + self.gan_loss(of_fake, real=False)) / 2}

    def generator_losses(self, way: Direction, turn: Turn) -> Iterator[Losses]:
        """L_GAN + L_PatchNCE(x, G(x)) and, as a graph of its own, L_PatchNCE(y, G(y)) with pictures y of domain B."""
        x, y, objective = turn.source, turn.translated, self.objective
        lambda_nce = objective.lambda_nce / (2 if objective.identity else 1)
        of_fake = objective.lambda_gan * self.gan_loss(self.D(y), real=True)
        yield {"G": of_fake, "NCE": lambda_nce * self.nce(x, y, turn)}
        if objective.identity:
            same = self.G(turn.real.with_image(mirror(turn.real.image, turn.mirrored)))
            yield {"NCE_Y": lambda_nce * self.nce(turn.real, same, turn)}
        fake = y.with_image(mirror(y.image, turn.mirrored))
        return {way.source: {f"real_{way.source}": x, f"fake_{way.target}": fake}}

    def nce(self, x: InstanceBatch, y: InstanceBatch, turn: Turn) -> Tensor:
        """L_PatchNCE of x and y = G(x) (section 3.2): (B,), the mean over positions and layers."""
        layers, temperature = self.objective.layers, self.objective.temperature
        of_y = [mirror(features, turn.mirrored) for features in self.G.features(y, layers)]
        with torch.no_grad():
            of_x = self.G.features(x, layers)
            positions = [draw_positions(self.objective.patches, one, turn.generators) for one in of_x]
            keys = self.F(map(at_positions, of_x, positions))
        queries = self.F(map(at_positions, of_y, positions))
        losses = [patch_nce(query, key, temperature).mean(1) for query, key in zip(queries, keys, strict=True)]
        return torch.stack(losses).mean(0)  # (B,)

    def translators(self) -> dict[Direction, OneWayTranslator]:
        return {A_TO_B: OneWayTranslator(self.G)}

    def optimizers(self) -> dict[str, GuardedAdam]:
        return {"G": self.optimizer_G, "D": self.optimizer_D, "F": self.optimizer_F}

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        parser.set_defaults(niter=200, niter_decay=200, init_type="xavier")
        flag = parser.add_argument_group("cut").add_argument
        flag("--netG", choices=tuple(BLOCKS), default="resnet_9blocks", help="generator")
        flag("--CUT_mode", choices=tuple(MODES), default="CUT", help="FastCUT: quicker, one PatchNCE loss of weight 10")
        flag("--lambda_GAN", type=finite(), default=Objective.lambda_gan, help="weight of the GAN loss")
        flag("--lambda_NCE", type=finite(), help="weight of the PatchNCE loss (default: CUT 1, FastCUT 10)")
        flag("--nce_idt", type=yes_or_no, help="PatchNCE of B and G(B), too (default: CUT true, FastCUT false)")
        flag("--flip_equivariance", type=yes_or_no, help="G sees half mirrored (default: CUT false, FastCUT true)")
        flag("--nce_layers", type=whole_numbers, default="0,4,8,12,16", help="layers of G's encoder that are compared")
        flag("--nce_T", type=finite(above=True), default=Objective.temperature, help="temperature of the PatchNCE loss")
        flag("--num_patches", type=whole(1), default=Objective.patches, help="most patches compared per image, layer")
        flag("--netF_nc", type=whole(1), default=256, help="channels of the projection heads")

    @classmethod
    def from_options(cls, options: Namespace) -> CutModel:
        G = AntiAliasedGenerator(options.ngf, options.norm, BLOCKS[options.netG], options.input_nc)
        D = AntiAliasedPatchDiscriminator(options.ndf, options.n_layers_D, options.norm, options.output_nc)
        layers = tuple(map(int, options.nce_layers.split(",")))
        if max(layers) >= len(G.encoder):
            raise InputError(f"--nce_layers {options.nce_layers}: the encoder's layers are 0 to {len(G.encoder) - 1}")
        F = ProjectionHeads(G.channels(layers), options.netF_nc)
        initialise(nn.ModuleList([G, D, F]), options.init_type, options.init_gain)
        given = options.lambda_NCE, options.nce_idt, options.flip_equivariance
        chosen = [of_mode if one is None else one for one, of_mode in zip(given, MODES[options.CUT_mode], strict=True)]
        objective = Objective(options.lambda_GAN, *chosen, layers, options.num_patches, options.nce_T)
        return cls(G, D, F, objective, not options.no_lsgan, options.lr, options.lr_D, options.beta1)
