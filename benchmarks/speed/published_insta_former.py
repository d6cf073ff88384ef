"""InstaFormer's published schedule: what the ratios of ``--method insta_former`` are taken against.

Float32, torch's own layers, attention written out, and always 20 slots for objects, those without one as tokens, too.
Both images are decoded before anything is learnt, as are all objects' tokens, which no loss looks at; D's step leaves
those graphs in place; G's step has one backward for all losses, which also finds gradients of D's weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MethodType
from typing import Any

import torch
from torch import Tensor

from engine.update import Losses, Update
from instagan.losses import l1
from instagan.networks.insta_former import Block, Objects
from instagan.structures.directions import A_TO_B
from instagan.structures.instances import UnpairedBatch
from models.insta_former_model import InstaFormerModel, Turn

SLOTS = 20
FLAGS = ("--mask_padding", "false")
"""Of train.py: with them ours computes the same losses, if it has as many slots."""


class PublishedInstaFormer:
    """The published step of a model's networks, which are as they were built with ``FLAGS``, by its optimizers.

    What is drawn is drawn as ours does. The layer that expands objects' tokens is that of patches, so that it needs no
    weights of its own: it is of the same size.
    """

    def __init__(self, model: InstaFormerModel) -> None:
        self.model = model
        for block in model.G.transformer.blocks:
            block.attention = MethodType(written_out, block)  # type: ignore[assignment]

    def training_step(self, pair: UnpairedBatch) -> Losses:
        model, pair = self.model, pair.changed(lambda x: x.slots(0, SLOTS))
        turn = model.turn(A_TO_B, pair, Update([pair]).generators(pair))
        decoder = model.G.decoder
        unused = decoder.layers(decoder.expansion(turn.tokens.flatten(0, 1)[..., None, None]))  # (20 B, 3, 4 p, 4 p)
        codes = model.G.style(turn.real.image)  # (B, S)
        same, _ = model.G.decode(model.G.content(turn.real.image), Objects.of(turn.real), codes)
        of_d = self._step([model.optimizer_D], next(model.discriminator_losses(A_TO_B, turn)))
        of_g = self._step([model.optimizer_G, model.optimizer_F], self._for_g(turn, codes, same))
        del unused
        return of_d | of_g

    def _for_g(self, turn: Turn, codes: Tensor, same: Tensor) -> dict[str, Any]:
        model, weights = self.model, self.model.objective
        features, content = model.G.encode(turn.translated.image, weights.layers)
        return {
            "G": weights.lambda_gan * model.gan_loss(model.D(turn.translated), real=True),
            "NCE": weights.lambda_nce * model.nce(features, turn),
            "NCE_object": weights.lambda_instance_nce * model.object_nce(content, turn),
            "recon": weights.lambda_recon * l1(same, turn.real.image),
            "style": weights.lambda_style * l1(model.G.style(same), codes),
        }

    def _step(self, optimizers: Iterable[torch.optim.Optimizer], losses: dict[str, Any]) -> Losses:
        for optimizer in optimizers:
            optimizer.zero_grad()
        means = {name: loss.mean() if len(loss) else loss.sum() for name, loss in losses.items()}
        torch.stack(list(means.values())).sum().backward()
        for optimizer in optimizers:
            optimizer.step()
        return {name: loss.detach() for name, loss in means.items()}


def written_out(block: Block, tokens: Tensor, there: Tensor | None) -> Tensor:
    """softmax(q k / sqrt(d)) v, step by step: (B, T, E) -> (B, T, E). Every token sees all."""
    assert there is None
    query, key, value = block.qkv(tokens).unflatten(2, (3, block.heads, -1)).permute(2, 0, 3, 1, 4)
    shares = (query @ key.transpose(2, 3) * query.shape[3] ** -0.5).softmax(3)  # (B, heads, T, T)
    return block.out((shares @ value).transpose(1, 2).flatten(2))
