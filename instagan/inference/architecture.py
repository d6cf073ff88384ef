"""Which generator a set of weights belongs to, read off their names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from instagan.errors import InputError
from instagan.networks.blocks import NORMS
from instagan.networks.generators import ResnetGenerator, SetGenerator


@dataclass(frozen=True)
class Architecture:
    """A generator's sizes. with_union: CycleGAN+Seg, which translates the union of the masks along."""

    method: str
    ngf: int
    blocks: int
    norm: str = "instance"
    with_union: bool = False

    @classmethod
    def of(cls, weights: Mapping[str, Tensor], norm: str, where: str) -> Architecture:
        """``norm`` cannot be seen in weights: the normalisation has none. Raises ``InputError`` naming ``where``."""
        encoder = "image_encoder" if "image_encoder.1.weight" in weights else "encoder"
        stem = weights.get(f"{encoder}.1.weight")
        if stem is None or stem.ndim != 4 or stem.shape[1] not in (3, 4):
            raise InputError(
                f"{where} holds no generator of insta_gan or cycle_gan; pass a model that one of them has trained"
            )
        if norm not in NORMS:
            raise InputError(f"{where} was trained with --norm {norm}, which this version does not know; update it")
        blocks = {name.split(".")[1] for name in weights if name.startswith(f"{encoder}.") and ".layers." in name}
        method = "insta_gan" if encoder == "image_encoder" else "cycle_gan"
        return cls(method, stem.shape[0], len(blocks), norm, method == "cycle_gan" and stem.shape[1] == 4)

    def options(self) -> dict[str, Any]:
        """As options of a run."""
        told = {"model": self.method, "ngf": self.ngf, "norm": self.norm}
        if self.method == "insta_gan":
            return {**told, "netG": "set"}
        return {**told, "netG": f"resnet_{self.blocks}blocks", "with_masks": self.with_union}

    @property
    def least_weights(self) -> int:
        """Numbers that an encoder has at least: those of its second stride-2 convolution and its residual blocks."""
        return 72 * self.ngf**2 * (1 + 4 * self.blocks)

    def build(self, weights: Mapping[str, Tensor], where: str) -> nn.Module:
        """The generator with its weights in float32, for translating only. Draws nothing from torch's random state."""
        if sum(tensor.numel() for tensor in weights.values()) < self.least_weights:  # else memory without bound
            raise InputError(
                f"{where} does not fit a generator of {self.method} (it has too few weights for --ngf {self.ngf}); "
                "it is damaged"
            )
        generator: nn.Module
        with torch.random.fork_rng(devices=[]):
            if self.method == "insta_gan":
                generator = SetGenerator(self.ngf, self.norm, self.blocks)
            else:
                generator = ResnetGenerator(self.ngf, self.norm, self.blocks, self.with_union)
        try:
            generator.load_state_dict(dict(weights))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise InputError(f"{where} does not fit a generator of {self.method} ({reason}); it is damaged") from None
        if not all(bool(parameter.isfinite().all()) for parameter in generator.parameters()):
            raise InputError(f"{where} holds NaN or infinite weights; load an earlier checkpoint of its run")
        return generator.eval().requires_grad_(False)
