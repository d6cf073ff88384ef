"""MUNIT's published schedule: what the ratios of ``--method munit`` and ``--method init`` are taken against.

Picture by picture, float32, with torch's own layers. D's step runs the generators with gradients, which it does not
use, and encodes styles, too; G's step keeps the graphs of both directions until one backward, which also finds
gradients of D's weights. INIT has no published code: beside it, this is what its objects cost on top.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from engine.update import Losses, Update
from instagan.losses import l1
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from models.munit_model import Domain, MunitModel, Turn


class PublishedMunit:
    """The published step of a model's networks, which are as they were built, by its optimizers. Styles are ours."""

    def __init__(self, model: MunitModel) -> None:
        self.model = model

    def training_step(self, pair: UnpairedBatch) -> Losses:
        """A step per pair of pictures; losses of the last."""
        losses = Losses()
        for row in range(len(pair)):
            pictures = {letter: batch[[row]] for letter, batch in pair.domains.items()}
            paths = {letter: (of_domain[row],) for letter, of_domain in pair.paths.items()}
            losses = self._step(UnpairedBatch(pictures, paths))
        return losses

    def _step(self, pair: UnpairedBatch) -> Losses:
        model, update = self.model, Update([pair])
        turns = {
            way.source: MunitModel.turn(model, way, pair, update.generators(pair, number))
            for number, way in enumerate(model.ways)
        }
        losses = {}
        for optimizer, objective in ((model.optimizer_D, self._for_d), (model.optimizer_G, self._for_g)):
            optimizer.zero_grad()
            found = objective(turns)
            torch.stack(list(found.values())).sum().backward()
            optimizer.step()
            losses |= {name: loss.detach() for name, loss in found.items()}
        return losses

    def _for_d(self, turns: Mapping[str, Turn]) -> Losses:
        ways, gan = self.model.ways, self.model.gan
        encoded = {way.source: _encoded(way.own, turns[way.source].source.image) for way in ways}
        fakes = {way.source: way.other.decoder(encoded[way.source][0], turns[way.source].style_for_d) for way in ways}
        losses = Losses()
        for way in ways:
            of_fake = way.other.D(InstanceBatch.from_images(fakes[way.source].detach()))
            losses[f"D_{way.target}"] = (gan(of_fake, False) + gan(way.other.D(turns[way.source].real), True)).sum()
        return losses

    def _for_g(self, turns: Mapping[str, Turn]) -> Losses:
        weights, losses = self.model.weights, Losses()
        for way in self.model.ways:
            x, z = turns[way.source].source.image, turns[way.source].style_for_g
            c, s = _encoded(way.own, x)
            same, fake = way.own.decoder(c, s), way.other.decoder(c, z)  # (1, 3, H, W)
            c_again, s_again = _encoded(way.other, fake)
            losses[f"recon_x_{way.source}"] = weights.recon_x_w * l1(same, x).sum()
            losses[f"recon_c_{way.source}"] = weights.recon_c_w * l1(c_again, c).sum()
            losses[f"recon_s_{way.target}"] = weights.recon_s_w * l1(s_again, z).sum()
            of_fake = way.other.D(InstanceBatch.from_images(fake))
            losses[f"G_{way.target}"] = weights.gan_w * self.model.gan(of_fake, True).sum()
            if weights.recon_x_cyc_w:
                again = way.own.decoder(c_again, s)  # (1, 3, H, W)
                losses[f"cyc_{way.source}"] = weights.recon_x_cyc_w * l1(again, x).sum()
        return losses


def _encoded(domain: Domain, image: Tensor) -> tuple[Tensor, Tensor]:
    """Content (1, C, h, w) and style (1, S)."""
    return domain.content(image), domain.style(image)
