"""INIT: instance-level image-to-image translation (Shen, Huang, Shi, Xue, Huang, CVPR 2019); its object branch.

A scene is translated as by MUNIT. While training, its objects are learnt, too: content and style of their own, their
own reconstruction and their own discriminator. They share layers with the scene, which is what they are learnt for:
translating looks at no object. A style of the scene is applied to its objects, never one of an object to the scene.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.update import PerObject, Yielded
from instagan.errors import InputError
from instagan.flag_types import real, whole
from instagan.losses import l1
from instagan.networks.blocks import initialise
from instagan.networks.init import STRIDE, ObjectBranch, ObjectNetworks, ObjectStyle, Regions
from instagan.networks.munit import MultiScaleDiscriminator, smallest_side
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from models.munit_model import Domain, MunitModel, Turn, Way, Weights

OBJECT_SIZE, OBJECT_SCALES = 120, 2
SMALLEST_OBJECT = -(-smallest_side(OBJECT_SCALES) // STRIDE) * STRIDE
"""Shortest side of an object's region that its discriminator can judge."""


@dataclass(frozen=True)
class InitWeights(Weights):
    """Those of MUNIT, which hold for objects as for scenes.

    object_size     side in pixels that regions of objects are brought to
    exemplar_share  of the scenes: they are translated in the style of a picture of the other domain, not in a drawn one
    """

    object_size: int = OBJECT_SIZE
    exemplar_share: float = 0.5


@dataclass(frozen=True, eq=False)
class InitDomain(Domain):
    """MUNIT's networks of a domain, those of its objects, and the discriminator of objects."""

    objects: ObjectNetworks
    D_objects: MultiScaleDiscriminator

    @property
    def branch(self) -> ObjectBranch:
        return ObjectBranch(self.objects, self.content, self.style, self.decoder)

    @property
    def generators(self) -> list[nn.Module]:
        return [*super().generators, self.objects]

    @property
    def discriminators(self) -> list[nn.Module]:
        return [*super().discriminators, self.D_objects]


@dataclass(frozen=True, eq=False)
class InitTurn(Turn):
    """MUNIT's turn, the objects of its source and those of the pictures of the target's domain."""

    objects: Regions
    real_objects: Regions


class InitModel(MunitModel):
    """MUNIT and, as graphs of their own, the losses of objects: means over all objects of their domain."""

    takes = ("boxes", "labels")
    architecture = (*MunitModel.architecture, "init_objects")
    weights_type = InitWeights

    def turn(self, way: Way, pair: UnpairedBatch, generators: list[torch.Generator]) -> InitTurn:
        scenes, weights = super().turn(way, pair, generators), self.weights
        styles = {"style_for_d": scenes.style_for_d, "style_for_g": scenes.style_for_g}
        if weights.exemplar_share:
            with torch.no_grad():
                of_examples = way.other.style(scenes.real.image)  # (B, S)
            for name, drawn in styles.items():
                chosen = torch.stack([torch.rand(1, generator=one) < weights.exemplar_share for one in generators])
                styles[name] = torch.where(chosen.to(drawn.device), of_examples, drawn)  # (B, S)
        objects, real_objects = (Regions.of(pair[letter], weights.object_size) for letter in (way.source, way.target))
        return InitTurn(**{**vars(scenes), **styles}, objects=objects, real_objects=real_objects)

    def discriminator_losses(self, way: Way, turn: InitTurn) -> Iterator[Yielded]:
        yield from super().discriminator_losses(way, turn)
        D, none = way.other.D_objects, turn.source.image.new_zeros(0)
        of_fake = of_real = none
        if len(turn.objects):
            with torch.no_grad():
                content, _ = way.own.branch.encode(turn.source.image, turn.objects)
                styles = ObjectStyle.of_scenes(turn.style_for_d, turn.objects.owner)
                fake = way.other.branch.decode(content, styles)  # (P, 3, s, s)
            of_fake = self.gan(D(InstanceBatch.from_images(fake)), real=False)
        if len(turn.real_objects):
            of_real = self.gan(D(InstanceBatch.from_images(turn.real_objects.crops)), real=True)
        yield {
            f"D_object_fake_{way.target}": PerObject(of_fake, way.source),
            f"D_object_real_{way.target}": PerObject(of_real, way.target),
        }

    def generator_losses(self, way: Way, turn: InitTurn) -> Iterator[Yielded]:
        pictures = yield from super().generator_losses(way, turn)
        names = [f"{name}_{way.source}" for name in ("recon_object_x", "recon_object_c", "recon_object_s", "G_object")]
        none = turn.source.image.new_zeros(0)
        losses = self.object_losses(way, turn) if len(turn.objects) else [none] * len(names)
        yield {name: PerObject(loss, way.source) for name, loss in zip(names, losses, strict=True)}
        return pictures

    def object_losses(self, way: Way, turn: InitTurn) -> list[Tensor]:
        """Of every object (P,): reconstruction of its picture, content and style, and the GAN loss."""
        own, other, weights = way.own.branch, way.other.branch, self.weights
        c, s = own.encode(turn.source.image, turn.objects)
        z = ObjectStyle.of_scenes(turn.style_for_g, turn.objects.owner)
        same, fake = own.decode(c, s), other.decode(c, z)  # (P, 3, s, s)
        c_again, s_again = other.encode_crops(fake)
        return [
            weights.recon_x_w * l1(same, turn.objects.crops),
            weights.recon_c_w * l1(c_again.features, c.features),
            weights.recon_s_w * l1(s_again.codes, z.codes),
            weights.gan_w * self.gan(way.other.D_objects(InstanceBatch.from_images(fake)), real=True),
        ]

    @staticmethod
    def dataset_mode(options: Namespace) -> str:
        return "unaligned_seg"

    @staticmethod
    def most_instances(options: Namespace) -> int | None:
        return int(options.ins_max)

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        MunitModel.add_options(parser, training)
        flag = parser.add_argument_group("init").add_argument
        flag("--init_objects", choices=("shared", "separate"), default="shared",
             help="whether objects share stem, style encoder and the end of the decoder with scenes")  # fmt: skip
        if not training:
            return
        parser.set_defaults(box_least_share=0.3, box_least_side=0.044)  # 16 of 360 pixels
        flag("--ins_max", type=whole(0), default=8, help="most objects of an image, drawn at random each time")
        flag("--object_size", type=whole(SMALLEST_OBJECT), help="side in pixels that regions of objects are brought to "
             f"(default: {OBJECT_SIZE}, or the shorter side of the crop if that is less)")  # fmt: skip
        flag("--exemplar_share", type=real(0, 1), default=InitWeights.exemplar_share,
             help="share of images that are translated in the style of an image, not in a drawn one")  # fmt: skip

    @classmethod
    def new_domain(cls, options: Namespace) -> InitDomain:
        separate = options.init_objects == "separate"
        objects = ObjectNetworks(options.ngf, options.n_res, options.style_dim, options.mlp_dim, separate)
        D_objects = MultiScaleDiscriminator(options.ndf, OBJECT_SCALES)
        initialise(objects, options.init_type, options.init_gain)
        initialise(D_objects, "normal", options.init_gain)
        return InitDomain(**vars(super().new_domain(options)), objects=objects, D_objects=D_objects)

    @classmethod
    def from_options(cls, options: Namespace) -> InitModel:
        size = options.object_size
        if size is None:
            largest = min(OBJECT_SIZE, options.fine_size_w, options.fine_size_h)
            size = max(largest // STRIDE * STRIDE, SMALLEST_OBJECT)
        if size % STRIDE:
            raise InputError(f"--object_size {size} must be a multiple of {STRIDE}")
        return super().from_options(Namespace(**{**vars(options), "object_size": size}))
