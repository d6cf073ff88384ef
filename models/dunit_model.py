"""DUNIT: detection-based unsupervised image-to-image translation (Bhattacharjee, Kim, Vizier, Salzmann, CVPR 2020).

Domain A is annotated with boxes, B is not. A scene of A is translated with its objects: each is encoded and stylised by
itself, and its features are pasted into those of the scene, which are decoded to one image. All styles are those of
whole images. B is translated as by DRIT, which this method is where there is no object. A detector, which is never
trained here, sees to it that objects stay where they are, and finds them in images whose boxes nobody tells.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.optimizer import GuardedAdam
from engine.update import PerObject, Yielded
from instagan.errors import InputError
from instagan.flag_types import finite, whole
from instagan.io.object_detector import ObjectDetector, read_detector, record_of, recorded_detector
from instagan.losses.box_consistency import box_consistency
from instagan.networks.drit import STRIDE
from instagan.networks.dunit import CROP, InstanceBlocks, InstanceEncoder, Objects
from instagan.networks.pasting import PastingGenerator, decoded
from instagan.structures.directions import A_TO_B, Direction
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.one_way import OneWayTranslator
from models.drit_model import Content, DritModel, Turn, Weights

ANNOTATED = "A"


@dataclass(frozen=True)
class DunitWeights(Weights):
    """DRIT's, and that of instance consistency. object_size: side in pixels that an object is brought to."""

    ic_w: float = 1.0
    object_size: int = CROP


@dataclass(frozen=True, eq=False)
class ObjectContent(Content):
    """Content of scenes and of their objects, of_objects (P, C, u, v); None where there is no object."""

    objects: Objects
    of_objects: Tensor | None


class DunitModel(DritModel):
    """DRIT in feature-wise mode with one instance encoder, and instance blocks beside those of each decoder."""

    takes = ("boxes", "labels")
    architecture = (*DritModel.architecture, "object_size", "detector_weights", "detector")
    weights_type = DunitWeights
    weights: DunitWeights

    def __init__(self, *drit: Any, **rates: Any) -> None:
        super().__init__(*drit, **rates)
        before, sizes = self.optimizer_G, (self.shared.channels // 4, self.domains["A"].decoder.style_size)
        with torch.random.fork_rng(devices=[]):  # the weights of DRIT's networks are then those that DRIT draws
            own = {"objects": InstanceEncoder(sizes[0])}
            own |= {f"blocks_{letter}": InstanceBlocks(*sizes) for letter in self.domains}
        self.networks.update(own)
        beta1, decay = before.defaults["betas"][0], before.defaults["weight_decay"]
        networks = [*before.networks, *own.values()]
        self.optimizer_G = GuardedAdam(networks, before.initial_rate, beta1, weight_decay=decay)
        self.look_for_objects = False

    @property
    def detector(self) -> ObjectDetector | None:
        found = dict(self.networks.items()).get("detector")
        assert found is None or isinstance(found, ObjectDetector)
        return found

    def check_categories(self, named: Mapping[str, Sequence[str]]) -> None:
        classes, wanted = self.detector.classes if self.detector else (), tuple(named[ANNOTATED])
        if classes and wanted and classes != wanted:
            raise InputError(
                f"--detector_weights finds {', '.join(classes)}, and the data set has {', '.join(wanted)}; train a "
                "detector on it with scripts/train_detector.py"
            )

    def turn(self, way: Direction, pair: UnpairedBatch, generators: list[torch.Generator]) -> Turn:
        turn = super().turn(way, pair, generators)
        return replace(turn, scenes={**turn.scenes, ANNOTATED: pair[ANNOTATED]})

    def content(self, letter: str, image: Tensor, noise: Tensor, scene: InstanceBatch) -> ObjectContent:
        """Objects of a translation are looked for where they were in the scene."""
        of_scene, objects = super().content(letter, image, noise, scene), Objects.of(scene)
        crops = objects.crops(image, self.weights.object_size)  # (P, 3, s, s)
        return ObjectContent(of_scene.features, objects, self.networks["objects"](crops) if len(objects) else None)

    def decode(self, letter: str, content: Content, attribute: Tensor) -> Tensor:
        assert isinstance(content, ObjectContent)
        decoder, blocks = self.domains[letter].decoder, self.networks[f"blocks_{letter}"]
        return decoded(decoder, content.features, attribute, content.objects, content.of_objects, blocks)

    def encoded_losses(self, way: Direction, turn: Turn) -> Iterator[Yielded]:
        """DRIT's, and as a graph of its own instance consistency, the mean over all objects."""
        pictures = yield from super().encoded_losses(way, turn)
        if self.detector is not None and self.weights.ic_w:
            yield {f"ic_{ANNOTATED}": PerObject(self.weights.ic_w * self.moved(turn, self.detector), ANNOTATED)}
        return pictures

    def moved(self, turn: Turn, detector: ObjectDetector) -> Tensor:
        """(P,): how far each object seems to move when its scene is translated with the style of an image of B."""
        x = turn.scenes[ANNOTATED]
        if not x.present.any():
            return x.image.new_zeros(0)
        code, _ = self.attribute("B", turn.images["B"], turn.spread["B"])
        content = self.content(ANNOTATED, x.image, turn.noise[ANNOTATED], x)
        return box_consistency(detector, x, self.decode("B", content, code))

    def translators(self) -> Mapping[Direction, OneWayTranslator]:
        """A is translated with its objects: those that are told, or else those that the detector finds."""
        own, other, networks = self.domains["A"], self.domains["B"], self.networks
        generator = PastingGenerator(
            own.stem, self.shared, other.attribute, other.decoder, networks["objects"], networks["blocks_B"],
            self.weights.object_size, self.detector,
        )  # fmt: skip
        needs = ("style",) if self.look_for_objects else ("boxes", "style")
        return {**super().translators(), A_TO_B: OneWayTranslator(generator, needs)}

    @staticmethod
    def most_instances(options: Namespace) -> int | None:
        return int(options.ins_max)

    @staticmethod
    def fill_in(options: Namespace) -> None:
        DritModel.fill_in(options)
        if options.object_size is None:
            side = min(CROP, options.fine_size_w, options.fine_size_h)
            options.object_size = max(side // STRIDE, 2) * STRIDE
        file = options.detector_weights and Path(options.detector_weights)
        if file and file.exists() and options.detector is None:
            options.detector = record_of(read_detector(file))

    @staticmethod
    def remarks(options: Namespace) -> list[str]:
        without = "no --detector_weights: nothing keeps objects in place, and none is found where none are given"
        return [*DritModel.remarks(options), *([] if options.detector_weights else [without])]

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        DritModel.add_options(parser, training)
        parser.set_defaults(concat=0)
        flag = parser.add_argument_group("dunit").add_argument
        flag("--detector_weights", metavar="FILE", help="what scripts/train_detector.py wrote; looked at when a run "
             "begins, for its checkpoints hold the detector")  # fmt: skip
        flag("--detector", nargs="+", help=SUPPRESS)  # set by the one above: what a run needs to know once it has begun
        flag("--object_size", type=whole(2 * STRIDE), help="side in pixels that objects are brought to "
             f"(default: {CROP}, or the shorter side of the crop if that is less)")  # fmt: skip
        flag("--ic_w", type=finite(), default=DunitWeights.ic_w, help="weight of instance consistency")
        if training:
            flag("--ins_max", type=whole(0), default=8, help="most objects of an image, drawn at random each time")
        else:
            flag("--objects", choices=("found", "given"), default="found", help="where objects are: found by the "
                 "detector, or given by the data set")  # fmt: skip

    @classmethod
    def from_options(cls, options: Namespace) -> DunitModel:
        if options.concat:
            raise InputError("--concat 1: --model dunit pastes objects into features of feature-wise mode; use 0")
        if options.object_size % STRIDE:
            raise InputError(f"--object_size {options.object_size} must be a multiple of {STRIDE}")
        model = super().from_options(options)
        assert isinstance(model, DunitModel)
        if options.detector_weights:
            detector = recorded_detector(Path(options.detector_weights), options.detector)
            model.networks["detector"] = detector.requires_grad_(False)
        model.look_for_objects = model.detector is not None and getattr(options, "objects", "given") == "found"
        return model
