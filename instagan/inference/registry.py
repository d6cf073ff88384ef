"""What a checkpoint says of a direction -> the translator of that direction. Another generator is a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from instagan.errors import InputError
from instagan.io.object_detector import ObjectDetector
from instagan.networks.anti_aliased import AntiAliasedGenerator
from instagan.networks.blocks import NORMS, UPSAMPLING
from instagan.networks.generators import ResnetGenerator, SetGenerator
from instagan.networks.insta_former import InstaFormerGenerator
from instagan.networks.mguit import MemoryGenerator
from instagan.networks.pasting import PastingGenerator
from instagan.networks.star import TargetedSetGenerator
from instagan.networks.styled import AttributeGenerator, StyledGenerator
from instagan.structures.one_way import SET_ORDERS, OneWayTranslator


def _pasting(
    detector_kind: str = "", detector_classes: str = "", detector_side: int = 1, **sizes: Any
) -> nn.Module:  # fmt: skip
    detector = ObjectDetector.of(detector_kind, detector_classes, detector_side) if detector_kind else None
    return PastingGenerator.with_detector(**sizes, detector=detector)


GENERATORS: dict[str, Callable[..., nn.Module]] = {
    SetGenerator.kind: SetGenerator,
    ResnetGenerator.kind: ResnetGenerator,
    AntiAliasedGenerator.kind: AntiAliasedGenerator,
    StyledGenerator.kind: StyledGenerator.of,
    InstaFormerGenerator.kind: InstaFormerGenerator,
    AttributeGenerator.kind: AttributeGenerator.of,
    PastingGenerator.kind: _pasting,
    MemoryGenerator.kind: MemoryGenerator.of,
    TargetedSetGenerator.kind: TargetedSetGenerator,
}
NEEDS = ("masks", "boxes", "style", "targets", "keypoints", "parts")
"""What ``Translator`` can hand to a model beside the image."""
LARGEST = 2**16
"""No size of a network is beyond that."""


@dataclass(frozen=True)
class Description:
    """One direction of a trained model. source, target: letters of the folders.

    parts: the networks that the generator is made of: its name for each ("content") -> the file's ("content_A"); a
    generator that is one network has {"": "G_A"}. kind and config: out of ``GENERATORS``, and its arguments; the rest
    as in ``OneWayTranslator``. What comes from a file is checked where it is used.
    """

    source: str
    target: str
    parts: Mapping[str, str]
    kind: str
    config: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    ins_per: int | None = None
    set_order: str = "decreasing"

    @classmethod
    def read(cls, entry: Any, where: str) -> Description:
        """An entry of "translators" in a checkpoint or a model card. Raises ``InputError`` naming ``where``."""
        try:
            told = dict(entry)
            parts = {"": told.pop("network")} if "network" in told else dict(told["parts"])
            told |= {"parts": parts, "needs": tuple(told["needs"]), "config": dict(told["config"])}
            found = cls(**told)
            words = [found.source, found.target, found.kind, found.set_order, *found.needs, *found.config]
            words += [*parts, *parts.values()]
            numbers = [one for one in (found.ins_per, *found.config.values()) if not isinstance(one, str | bool | None)]
            fits = all(isinstance(word, str) for word in words) and found.set_order in SET_ORDERS
            fits &= len(parts) > 0 and all(isinstance(one, int) and 1 <= one <= LARGEST for one in numbers)
        except (TypeError, KeyError, ValueError):
            fits = False
        if not fits:
            raise InputError(f"{where} is damaged (what it tells of a direction cannot be); load another checkpoint")
        return found

    def as_entry(self) -> dict[str, Any]:
        entry = {**vars(self), "needs": list(self.needs), "config": dict(self.config), "parts": dict(self.parts)}
        if list(self.parts) == [""]:
            entry["network"] = entry.pop("parts")[""]
        return entry

    def joined(self, networks: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The weights of the networks, by the file's names for them -> those of the generator."""
        return {
            _within(role, key): tensor for role, name in self.parts.items() for key, tensor in networks[name].items()
        }

    def split(self, weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """The opposite of ``joined``."""
        found = {}
        for role, name in self.parts.items():
            before = _within(role, "")
            found[name] = {key.removeprefix(before): one for key, one in weights.items() if key.startswith(before)}
        return found

    def check(self, where: str) -> None:
        """Raises ``InputError`` for what this version cannot build."""
        if self.kind not in GENERATORS:
            raise InputError(f"{where} has a generator {self.kind!r}, which this version does not know; update it")
        if unknown := [need for need in self.needs if need not in NEEDS]:
            raise InputError(f"{where} needs {unknown[0]} to translate, which this version cannot give; update it")
        for flag, known in (("norm", NORMS), ("upsample", UPSAMPLING)):
            if flag in self.config and self.config[flag] not in known:
                told = f"--{flag} {self.config[flag]}"
                raise InputError(f"{where} was trained with {told}, which this version does not know; update it")

    def build(self, weights: Mapping[str, Tensor], where: str) -> OneWayTranslator:
        """The generator with its weights in float32, for translating only. Draws nothing from torch's random state."""
        self.check(where)
        if difference := self._misfit(weights):  # found before memory is taken for what a damaged file tells
            raise InputError(f"{where} does not fit its generator ({difference}); it is damaged")
        with torch.random.fork_rng(devices=[]):
            generator = GENERATORS[self.kind](**self.config)
        generator.load_state_dict(dict(weights))
        if not all(bool(parameter.isfinite().all()) for parameter in generator.parameters()):
            raise InputError(f"{where} holds NaN or infinite weights; load an earlier checkpoint of its run")
        generator.eval().requires_grad_(False)
        at_once = self.ins_per is None and isinstance(generator, SetGenerator)
        return OneWayTranslator(generator, self.needs, self.ins_per, self.set_order, at_once=at_once)

    def _misfit(self, weights: Mapping[str, Tensor]) -> str:
        """The first difference between weights and the generator that is to hold them, in words; empty if they fit."""
        try:
            if self.config.get("blocks", 0) > len(weights):
                return f"{len(weights)} weights for {self.config['blocks']} blocks"
            with torch.device("meta"):
                expected = GENERATORS[self.kind](**self.config).state_dict()
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            return str(error).partition("\n")[0][:100]
        for name, tensor in expected.items():
            if name not in weights:
                return f"{name} is missing"
            if weights[name].shape != tensor.shape:
                sizes = " instead of ".join("x".join(map(str, one.shape)) for one in (weights[name], tensor))
                return f"{name} is {sizes}"
        surplus = [name for name in weights if name not in expected]
        return f"{surplus[0]} is too many" if surplus else ""


def _within(role: str, key: str) -> str:
    """The name in a generator of a weight of one of its networks."""
    return f"{role}.{key}" if role else key


def direction_to(to: str | None, there: Sequence[Description], where: str) -> Description:
    """Of the directions that there are (one or more) that to domain ``to``, "a" or "b"; None: b, or else the only one.

    Raises ``InputError`` where a model does not translate that way.
    """
    targets = [one.target.lower() for one in there]
    wanted = to or ("b" if "b" in targets else targets[0])
    for one in there:
        if one.target.lower() == wanted:
            return one
    raise InputError(f"{where} translates to {' and '.join(targets)} only; pass to={targets[0]!r} (--to {targets[0]})")
