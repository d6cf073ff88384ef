"""InstaFormer: instance-aware image-to-image translation with a transformer (Kim, Baek, Park, Kim, Kim, CVPR 2022).

G translates A -> B in a style z ~ N(0, I), or in the style of an example; D judges domain B. While training, objects
are tokens beside those of a picture's patches, so that attention learns how they belong together. PatchNCE keeps the
content of the whole picture and of every object; pictures of B are reconstructed in their own style. Translating needs
no boxes.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.freezing import frozen
from engine.optimizer import GuardedAdam
from engine.update import PerObject, Update, Yielded
from instagan.errors import InputError
from instagan.flag_types import finite, whole, whole_numbers, yes_or_no
from instagan.losses import l1, lsgan, mode_seeking, vanilla
from instagan.losses.patch_nce import at_positions, draw_positions, patch_nce
from instagan.networks.blocks import initialise
from instagan.networks.insta_former import STRIDE, BatchNormDiscriminator, InstaFormerGenerator, Objects
from instagan.networks.projection import ProjectionHeads
from instagan.structures.directions import A_TO_B, Direction
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.one_way import OneWayTranslator
from models.munit_model import draw_styles
from models.translation_model import TranslationModel

OBJECT_WIDTH, OBJECT_PATCHES = 64, 64
"""Channels of the objects' projection head, and positions that are compared in each, at most."""
HEADS_BETA1 = 0.9


@dataclass(frozen=True)
class Objective:
    """What is minimised. layers: numbers of the content encoder's layers whose features are compared.

    decoded_objects: what the loss of objects looks at: each object's token decoded as a picture of its own (the paper's
    figure), instead of the object's region in the translated picture (the published program).
    """

    lambda_gan: float = 1.0
    lambda_recon: float = 10.0
    lambda_style: float = 10.0
    lambda_nce: float = 2.0
    lambda_instance_nce: float = 2.0
    style_on_fake: bool = False  # the style of G(x, z) should be z
    decoded_objects: bool = False
    layers: tuple[int, ...] = (0, 4, 8)
    patches: int = 256  # of a picture and layer, at most
    temperature: float = 0.07
    modes_w: float = 0.0  # of mode seeking between two styles of x, and what bounds its gradient
    modes_eps: float = 0.1


@dataclass(frozen=True, eq=False)
class Turn:
    """x, y = G(x, z), z (B, S), pictures of domain B with their objects, random numbers for each row.

    Of x: its features at the compared layers, its objects, what the content is in each of their regions (B, N, C, p,
    p), and the tokens (B, N, E) that were made of them. other: x in a second style, and that style; for mode seeking.
    """

    source: InstanceBatch
    translated: InstanceBatch
    style: Tensor
    real: InstanceBatch
    generators: list[torch.Generator]
    features: list[Tensor]
    objects: Objects
    regions: Tensor
    tokens: Tensor
    other: tuple[Tensor, Tensor] | None


class InstaFormerModel(TranslationModel):
    """A generator G, a discriminator D, and projection heads F: for each of the compared layers, and for objects."""

    directions = (A_TO_B,)
    takes = ("boxes", "labels")
    architecture = (
        "depth", "heads", "patch", "embed_dim", "style_dim", "mlp_dim", "adain", "mask_padding", "instance_nce",
        "nce_layers", "netF_nc", "keep_means",
    )  # fmt: skip

    def __init__(
        self, G: InstaFormerGenerator, D: BatchNormDiscriminator, F: ProjectionHeads, F_object: ProjectionHeads,
        objective: Objective, least_squares: bool = True, lr: float = 2e-4, lr_D: float | None = None,
        beta1: float = 0.5,
    ) -> None:  # fmt: skip
        super().__init__()
        self.networks, self.pools = nn.ModuleDict({"G_A": G, "D_A": D, "F_A": F, "F_object_A": F_object}), {}
        self.G, self.D, self.F, self.F_object, self.objective = G, D, F, F_object, objective
        self.gan_loss = lsgan if least_squares else vanilla
        self.optimizer_G, self.optimizer_F = GuardedAdam([G], lr, beta1), GuardedAdam([F, F_object], lr, HEADS_BETA1)
        self.optimizer_D = GuardedAdam([D], lr if lr_D is None else lr_D, beta1)

    def training_step(self, update: Update) -> None:
        for turns in update.at_once(self.directions, self.turn):
            turns.minimise(self.optimizer_D, self.discriminator_losses)
            with frozen(self.D):
                turns.minimise([self.optimizer_G, self.optimizer_F], self.generator_losses)

    def turn(self, way: Direction, pair: UnpairedBatch, generators: list[torch.Generator]) -> Turn:
        x, z = pair[way.source], draw_styles(self.G.style_size, generators).to(pair[way.source].image)
        objects = Objects.of(x)
        features, content = self.G.encode(x.image, self.objective.layers)
        regions = self.G.transformer.regions(content, objects)
        fake, tokens = self.G.decode(content, objects, z, regions)
        y, other = InstanceBatch.from_images(fake), None
        if self.objective.modes_w:
            z_other = draw_styles(self.G.style_size, generators).to(x.image)
            other = self.G.decode(content, objects, z_other, regions)[0], z_other
        return Turn(x, y, z, pair[way.target], generators, features, objects, regions, tokens, other)

    def discriminator_losses(self, way: Direction, turn: Turn) -> Iterator[Yielded]:
        of_fake, of_real = self.D(turn.translated.detach()), self.D(turn.real)
        yield {"D": (self.gan_loss(of_fake, real=False) + self.gan_loss(of_real, real=True)) / 2}

    def generator_losses(self, way: Direction, turn: Turn) -> Iterator[Yielded]:
        """G(x, z) looks real and keeps the content of x and its objects; as a graph of its own, B is reconstructed."""
        G, y, real, objective = self.G, turn.translated, turn.real, self.objective
        features, content = G.encode(y.image, objective.layers)
        losses: dict[str, Tensor | PerObject] = {
            "G": objective.lambda_gan * self.gan_loss(self.D(y), real=True),
            "NCE": objective.lambda_nce * self.nce(features, turn),
            "NCE_object": PerObject(objective.lambda_instance_nce * self.object_nce(content, turn), way.source),
        }
        if objective.style_on_fake:
            losses["style_fake"] = objective.lambda_style * l1(G.style(y.image), turn.style)
        if turn.other:
            image, style = turn.other
            losses["modes"] = objective.modes_w * mode_seeking(y.image, image, turn.style, style, objective.modes_eps)
        yield losses
        del features, content, losses
        s = G.style(real.image)  # (B, S)
        same, _ = G.decode(G.content(real.image).to(real.image), Objects.of(real), s)
        yield {
            "recon": objective.lambda_recon * l1(same, real.image),
            "style": objective.lambda_style * l1(G.style(same), s),
        }
        return {way.source: {f"real_{way.source}": turn.source.slots(0, 0), f"fake_{way.target}": y}}

    def nce(self, features: Sequence[Tensor], turn: Turn) -> Tensor:
        """L_PatchNCE of y, whose features are given, and x: (B,), the mean over positions and layers."""
        positions = [draw_positions(self.objective.patches, one, turn.generators) for one in turn.features]
        return self.contrast(self.F, features, turn.features, positions)

    def object_nce(self, content: Tensor, turn: Turn) -> Tensor:
        """The same of every object (P,), within its region. content: that of y."""
        owner, slot = turn.source.instances()  # (P,) each
        if not len(owner):
            return content.new_zeros(0)
        if self.objective.decoded_objects:
            queries = self.G.content(self.G.decoder.of_objects(turn.tokens[owner, slot])).to(content)  # (P, C, p, p)
        else:
            queries = self.G.transformer.regions(content, turn.objects)[owner, slot]  # (P, C, p, p)
        keys = turn.regions[owner, slot]  # (P, C, p, p)
        generators = [turn.generators[row] for row in turn.source.present.nonzero()[:, 0].tolist()]
        return self.contrast(self.F_object, [queries], [keys], [draw_positions(OBJECT_PATCHES, keys, generators)])

    def contrast(
        self, heads: ProjectionHeads, queries: Sequence[Tensor], keys: Sequence[Tensor], positions: Sequence[Tensor]
    ) -> Tensor:
        """L_PatchNCE of maps (R, C, h, w), layer by layer, at positions (R, S) of theirs: (R,)."""
        with torch.no_grad():
            projected_keys = heads(list(map(at_positions, keys, positions)))
        projected = heads(list(map(at_positions, queries, positions)))
        losses = [
            patch_nce(query, key, self.objective.temperature).mean(1)
            for query, key in zip(projected, projected_keys, strict=True)
        ]
        return torch.stack(losses).mean(0)  # (R,)

    def translators(self) -> dict[Direction, OneWayTranslator]:
        return {A_TO_B: OneWayTranslator(self.G, ("style",))}

    def optimizers(self) -> dict[str, GuardedAdam]:
        return {"G": self.optimizer_G, "D": self.optimizer_D, "F": self.optimizer_F}

    @staticmethod
    def dataset_mode(options: Namespace) -> str:
        return "unaligned_seg"

    @staticmethod
    def most_instances(options: Namespace) -> int | None:
        return int(options.ins_max)

    @staticmethod
    def smallest_side(options: Namespace) -> tuple[int, str]:
        """Also such that there are two patches in each direction: AdaIN makes nothing of a single token."""
        return max(TranslationModel.smallest_side(options), (2 * STRIDE * options.patch, f"--patch {options.patch}"))

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        parser.set_defaults(init_type="xavier")
        flag = parser.add_argument_group("insta_former").add_argument
        flag("--depth", type=whole(1), default=6, help="blocks of the transformer")
        flag("--heads", type=whole(1), default=4, help="attention heads of every block")
        flag("--patch", type=int, choices=(2, 4, 8, 16), default=8,
             help="side of a patch in cells of 4 pixels; images are two patches or more wide and high")  # fmt: skip
        flag("--embed_dim", type=whole(8), help="numbers of a token (default: 16 times --ngf)")
        flag("--style_dim", type=whole(1), default=8, help="numbers of a style code")
        flag("--mlp_dim", type=whole(1), default=256, help="width of the network from styles to AdaIN's numbers")
        flag("--adain", choices=("shared", "separate"), default="shared",
             help="whether all AdaIN layers share their numbers, as published, or have their own")  # fmt: skip
        flag("--keep_means", action="store_true", help="layer norm in the decoder, none in the style encoder, so that "
             "styles set brightness and colours; instance norm, as published, takes each mean away")  # fmt: skip
        flag("--mask_padding", type=yes_or_no, default=True,
             help="false: as published, slots without an object take part in attention and AdaIN")  # fmt: skip
        flag("--instance_nce", choices=("roi", "decoded"), default="roi",
             help="where objects are compared: in the translated image, or each decoded by itself")  # fmt: skip
        flag("--style_on_fake", action="store_true", help="also reconstruct the style of the translated image")
        flag("--modes_w", type=finite(), default=Objective.modes_w, help="weight of mode seeking; 0 leaves it out")
        flag("--modes_eps", type=finite(above=True), default=Objective.modes_eps, help="what mode seeking adds to the "
             "distance that it divides by: its gradient is at most modes_w / modes_eps^2")  # fmt: skip
        flag("--lambda_GAN", type=finite(), default=Objective.lambda_gan, help="weight of the GAN loss")
        flag("--lambda_recon", type=finite(), default=Objective.lambda_recon, help="weight of image reconstruction")
        flag("--lambda_style", type=finite(), default=Objective.lambda_style, help="weight of style reconstruction")
        flag("--lambda_NCE", type=finite(), default=Objective.lambda_nce, help="weight of PatchNCE of whole images")
        flag("--lambda_instance_NCE", type=finite(), default=Objective.lambda_instance_nce,
             help="weight of PatchNCE of objects")  # fmt: skip
        flag("--nce_layers", type=whole_numbers, default="0,4,8", help="layers of the encoder that are compared")
        flag("--nce_T", type=finite(above=True), default=Objective.temperature, help="temperature of PatchNCE")
        flag("--num_patches", type=whole(1), default=Objective.patches, help="most patches compared per image, layer")
        flag("--netF_nc", type=whole(1), default=256, help="channels of the projection heads of whole images")
        if training:
            parser.set_defaults(niter=200, niter_decay=0, lr_policy="step", lr_decay_iters=150, box_least_side=0.03)
            flag("--ins_max", type=whole(0), default=20, help="most objects of an image, drawn at random each time")

    @classmethod
    def from_options(cls, options: Namespace) -> InstaFormerModel:
        width = options.embed_dim or 16 * options.ngf
        if width % 8 or width % options.heads:
            raise InputError(f"--embed_dim {width} must be a multiple of 8 and of --heads {options.heads}")
        decoded, extent = (
            options.instance_nce == "decoded",
            [options.fine_size_h // STRIDE, options.fine_size_w // STRIDE],
        )
        G = InstaFormerGenerator(
            options.ngf, options.style_dim, options.mlp_dim, width, options.depth, options.heads, options.patch,
            options.adain == "separate", options.mask_padding, decoded, extent, options.keep_means,
        )  # fmt: skip
        D = BatchNormDiscriminator(options.ndf, options.n_layers_D)
        layers = tuple(map(int, options.nce_layers.split(",")))
        if max(layers) >= len(G.content):
            raise InputError(f"--nce_layers {options.nce_layers}: the encoder's layers are 0 to {len(G.content) - 1}")
        F = ProjectionHeads(G.channels(layers), options.netF_nc)
        F_object = ProjectionHeads([4 * options.ngf], OBJECT_WIDTH)
        initialise(nn.ModuleList([F, F_object]), options.init_type, options.init_gain)
        weights = [options.lambda_GAN, options.lambda_recon, options.lambda_style, options.lambda_NCE]
        more = [options.lambda_instance_NCE, options.style_on_fake, decoded, layers, options.num_patches, options.nce_T]
        modes, rates = (options.modes_w, options.modes_eps), (options.lr, options.lr_D, options.beta1)
        return cls(G, D, F, F_object, Objective(*weights, *more, *modes), not options.no_lsgan, *rates)
