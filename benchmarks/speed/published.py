"""The published system's schedule: what every ratio of the benchmarks is taken against.

One picture after the other, one instance per call, float32. A training step keeps the graphs of both directions and
of all terms until one backward for the generators; then each discriminator has its own. Its spectral norms make a
power step in every call, also when fakes are judged for the generators. Its test step translates both ways, and
reconstructs. Adam, layers and convolution algorithms are torch's defaults. Same losses and pictures as the project's
own model (tests/benchmarks/test_benchmark_published.py).
"""

from __future__ import annotations

import random
from argparse import Namespace
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from benchmarks.speed.published_networks import IMAGE, PublishedDiscriminator, PublishedGenerator
from engine.update import Losses
from instagan.structures.instances import InstanceBatch, UnpairedBatch


@dataclass(frozen=True)
class Pool:
    """Up to ``size`` earlier fakes (1, 3 + N, H, W), of which one is sometimes shown instead of the new one."""

    size: int
    kept: list[Tensor] = field(default_factory=list)

    def query(self, fake: Tensor) -> Tensor:
        if len(self.kept) < self.size:
            self.kept.append(fake)
            return fake
        if self.size == 0 or random.random() < 0.5:
            return fake
        place = random.randrange(self.size)
        shown, self.kept[place] = self.kept[place], fake
        return shown


@dataclass(frozen=True)
class Way:
    """The networks of source -> target and the weights of its content losses."""

    source: str
    target: str
    G: nn.Module
    F: nn.Module
    D: nn.Module
    pool: Pool
    lambda_cyc: float
    lambda_idt: float
    lambda_ctx: float


class PublishedSystem:
    """Networks with the weights of ``state`` (name -> state of G_A, G_B, D_A, D_B), and the published steps."""

    def __init__(self, state: dict[str, dict[str, Tensor]], options: Namespace, device: torch.device) -> None:
        G = {name: PublishedGenerator(options.ngf) for name in "AB"}
        D = {name: PublishedDiscriminator(options.ndf, options.n_layers_D) for name in "AB"}
        self.networks = {f"G_{name}": G[name] for name in "AB"} | {f"D_{name}": D[name] for name in "AB"}
        for name, network in self.networks.items():
            network.load_state_dict(state[name])
            network.to(device)
        self.ins_max, self.ins_per = options.ins_max, options.ins_per
        weight = {"A": options.lambda_A, "B": options.lambda_B}
        self.ways = [
            Way(
                source, target, G[source], G[target], D[source], Pool(options.pool_size),
                lambda_cyc=weight[source],
                lambda_idt=weight[source] * options.lambda_idt,
                lambda_ctx=weight[source] * options.lambda_ctx,
            )
            for source, target in ("AB", "BA")
        ]  # fmt: skip
        self.optimizer_G, self.optimizer_D = (
            torch.optim.Adam(
                [p for network in networks.values() for p in network.parameters()],
                options.lr,
                betas=(options.beta1, 0.999),
            )
            for networks in (G, D)
        )

    def training_step(self, pair: UnpairedBatch) -> Losses:
        """A step per pair of pictures; mean losses."""
        return _mean([losses for row in range(len(pair)) for losses in self._step(*self._real(pair, row).values())])

    def _real(self, pair: UnpairedBatch, row: int) -> dict[str, Tensor]:
        """Domain -> picture and its largest masks, in whole mini-batches of slots (1, 3 + N, H, W)."""
        slots = -(-self.ins_max // self.ins_per) * self.ins_per
        chosen = {"A": pair["A"][[row]], "B": pair["B"][[row]]}
        return {name: _joined(batch.largest(self.ins_max).slots(0, slots)) for name, batch in chosen.items()}

    def _step(self, a: Tensor, b: Tensor) -> list[Losses]:
        """Losses of each mini-batch of two pictures (1, 3 + N, H, W)."""
        real, found = {"A": a, "B": b}, []
        shown = {name: picture[:, :IMAGE] for name, picture in real.items()}  # x_m
        made = {name: picture[:, :0] for name, picture in real.items()}  # b_1 ... b_(m - 1), detached
        for start in range(0, self.ins_max, self.ins_per):
            x = {name: self._mini_batch(real[name], shown[name], start) for name in real}
            playing = [way for way in self.ways if _any_instance(x[way.source])]
            if not playing:
                break
            losses, fakes = self._generator_step(playing, x, made)
            losses |= self._discriminator_step(playing, real, fakes)
            for way in playing:
                fake = fakes[way.source]
                shown[way.source], made[way.source] = fake[:, :IMAGE], fake[:, IMAGE:]
            found.append(losses)
        return found

    def _mini_batch(self, real: Tensor, shown: Tensor, start: int) -> Tensor:
        return torch.cat(
            [shown, real[:, IMAGE + start : IMAGE + start + self.ins_per]], dim=1
        )  # (1, 3 + ins_per, H, W)

    def _generator_step(
        self, playing: list[Way], x: dict[str, Tensor], made: dict[str, Tensor]
    ) -> tuple[Losses, dict[str, Tensor]]:
        """One backward through both directions and all terms; losses and aggregated fakes by source, detached."""
        for way in playing:
            way.D.requires_grad_(False)
        self.optimizer_G.zero_grad()
        losses, aggregates = Losses(), {}
        for way in playing:
            source = x[way.source]
            fake = way.G(source)
            reconstructed = way.F(fake)
            aggregate = torch.cat([fake[:, :IMAGE], made[way.source], fake[:, IMAGE:]], dim=1)
            losses[f"G_{way.source}"] = _judged(way.D(aggregate), 1.0)
            losses[f"cyc_{way.source}"] = way.lambda_cyc * _l1(reconstructed, source)
            if way.lambda_idt > 0:
                losses[f"idt_{way.target}"] = way.lambda_idt * _l1(way.F(source), source)
            if way.lambda_ctx > 0:
                losses[f"ctx_{way.source}"] = way.lambda_ctx * _context(source, fake)
            aggregates[way.source] = aggregate.detach()
        torch.stack(list(losses.values())).sum().backward()
        self.optimizer_G.step()
        for way in playing:
            way.D.requires_grad_(True)
        return {name: loss.detach() for name, loss in losses.items()}, aggregates

    def _discriminator_step(self, playing: list[Way], real: dict[str, Tensor], fakes: dict[str, Tensor]) -> Losses:
        self.optimizer_D.zero_grad()
        losses = Losses()
        for way in playing:
            fake = way.pool.query(fakes[way.source])
            loss = (_judged(way.D(real[way.target]), 1.0) + _judged(way.D(fake), 0.0)) / 2
            loss.backward()
            losses[f"D_{way.source}"] = loss.detach()
        self.optimizer_D.step()
        return losses

    @torch.no_grad()
    def test_step(self, pair: UnpairedBatch) -> list[dict[str, Tensor]]:
        """Of each pair of pictures fake_B and fake_A with all masks, rec_A and rec_B of the first mini-batch."""
        return [self._test(self._real(pair, row)) for row in range(len(pair))]

    def _test(self, real: dict[str, Tensor]) -> dict[str, Tensor]:
        found = {}
        for way in self.ways:
            shown, masks = real[way.source][:, :IMAGE], []
            for start in range(0, self.ins_max, self.ins_per):
                x = self._mini_batch(real[way.source], shown, start)
                if start and not _any_instance(x):
                    break
                fake = way.G(x)
                shown = fake[:, :IMAGE]
                masks.append(fake[:, IMAGE:])
                reconstructed = way.F(fake)  # of every mini-batch, though the first one's is all that is kept
                found.setdefault(f"rec_{way.source}", reconstructed)
            found[f"fake_{way.target}"] = torch.cat([shown, *masks], dim=1)
        return found


def _mean(steps: list[Losses]) -> Losses:
    """Of each loss, over the steps that report it."""
    names = dict.fromkeys(name for losses in steps for name in losses)
    return {name: torch.stack([losses[name] for losses in steps if name in losses]).mean() for name in names}


def _joined(batch: InstanceBatch) -> Tensor:
    return torch.cat([batch.image, batch.masks], dim=1)  # (B, 3 + N, H, W)


def _any_instance(x: Tensor) -> bool:
    return bool((x[:, IMAGE:] + 1).sum() > 0)


def _judged(scores: Tensor, target: float) -> Tensor:
    return (scores - target).square().mean()


def _l1(made: Tensor, target: Tensor) -> Tensor:
    return (made - target).abs().mean()


def _context(source: Tensor, fake: Tensor) -> Tensor:
    """|w * (x - y')| with w = 1 where neither has an instance."""
    inside = ((torch.cat([source[:, IMAGE:], fake[:, IMAGE:]], dim=1) + 1) / 2).sum(1, keepdim=True).clamp(0, 1)
    return ((1 - inside) * (source[:, :IMAGE] - fake[:, :IMAGE])).abs().mean()
