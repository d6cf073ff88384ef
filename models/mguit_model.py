"""MGUIT: memory-guided unsupervised image-to-image translation (Jeong, Kim, Lee, Sohn, CVPR 2021).

Content, which both domains share, is matched with the keys of a memory that has items for every class of objects; the
values of the other domain that are read there make a style map, so that different objects change in different ways.
The memory is a state: each update moves it towards the contents and styles of the update's pictures.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from engine.freezing import frozen
from engine.optimizer import GuardedAdam
from engine.update import Gathered, Losses, SimultaneousTurns
from instagan.flag_types import finite, whole
from instagan.losses import l1, vanilla
from instagan.losses.memory import by_key_and_style, memory_terms, of_shares
from instagan.networks.blocks import initialise
from instagan.networks.memory import ITEMS, ClassMemory, MemoryState, class_masks, read
from instagan.networks.mguit import MemoryGenerator, new_networks, unit_content
from instagan.structures.directions import Direction
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.one_way import OneWayTranslator
from models.shared_content_model import BOTH, OTHER, SharedContentModel, add_shared_options, drawn, gan, weight

DECODED = ("fake", "rand", "self", "cyc")
"""What a domain's decoder makes: translations by the memory and by drawn values, own pictures, and those again."""


@dataclass(frozen=True)
class Weights:
    """Of the losses (section 3.3). At 0 a term is still computed, but counts for nothing."""

    gan_w: float = weight(1.0, "the GAN losses of images")
    content_w: float = weight(1.0, "the GAN loss of contents")
    cycle_w: float = weight(50.0, "the cross-cycle loss")
    recon_w: float = weight(10.0, "the reconstruction loss")
    recon_c_w: float = weight(1.0, "the content reconstruction loss")
    style_w: float = weight(0.01, "style maps' mean square")
    small_w: float = weight(0.01, "contents' mean square (constant)")
    memory_w: float = weight(1.0, "the memory's losses")


@dataclass(frozen=True)
class Reading:
    """How the memory is used. Each default is what is meant; the published code has it the other way.

    published_losses   losses that hardly change, in place of the contrastive ones
    detached           no gradient through the memory to contents and styles
    decay              values of items without positions are halved at every update
    temperature        of reading; tau: of the contrastive losses
    """

    published_losses: bool = False
    detached: bool = False
    decay: bool = False
    temperature: float = 1.0
    tau: float = 0.07


@dataclass(frozen=True, eq=False)
class Turn:
    """Both domains by letter: pictures x, masks of the classes (B, K, h, w), drawn values (B, I, V) for contents,
    noise (B, C, h, w) for each of ``DECODED``; contents c and styles s of the pictures, without gradients."""

    source: InstanceBatch
    x: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    drawn: Mapping[str, Tensor]
    noise: Mapping[str, Mapping[str, Tensor]]
    c: Mapping[str, Tensor]
    s: Mapping[str, Tensor]


class MguitModel(SharedContentModel):
    """Both directions are learnt together, because they share the memory and layers of encoders and decoders."""

    takes = ("boxes", "labels")
    architecture = ("memory_items", *SharedContentModel.architecture)
    weights_type = Weights

    def __init__(
        self, networks: Mapping[str, nn.Module], weights: Weights = Weights(), reading: Reading = Reading(),
        noise: float = 0.1, d_iter: int = 3, lr: float = 1e-4, lr_D: float | None = None, beta1: float = 0.5,
        weight_decay: float = 1e-4, by_class: bool = False,
    ) -> None:  # fmt: skip
        """networks: see ``new_networks``. noise: deviation of what is added to contents before decoding."""
        lr_D, rates = lr if lr_D is None else lr_D, {"beta1": beta1, "weight_decay": weight_decay}
        super().__init__(networks["D_content"], d_iter, lr_D, **rates)
        self.networks, self.pools = nn.ModuleDict(networks), {}
        self.weights, self.reading, self.noise, self.by_class = weights, reading, noise, by_class
        self.memory: ClassMemory = self.networks["memory"]
        self.D = {letter: self.networks[f"D_{letter}"] for letter in OTHER}
        judges = [*self.D.values(), self.D_content]
        learnt = [one for name, one in networks.items() if one not in judges and name != "memory"]
        self.optimizer_G = GuardedAdam(learnt, lr, **rates)
        self.optimizer_D = GuardedAdam(self.D.values(), lr_D, **rates)

    def train_all(self, turns: SimultaneousTurns) -> None:
        """Section 3.4."""
        rows = turns.gather(BOTH, self.statistics)
        turns.minimise(self.optimizer_D, partial(self.discriminator_losses, rows))
        turns.minimise(self.optimizer_content, self.content_losses)
        shares = turns.gather(BOTH, partial(self.shares, rows)) if self.reading.published_losses else None
        with frozen(*self.D.values(), self.D_content):
            turns.minimise(self.optimizer_G, partial(self.generator_losses, rows, shares), rows)
        self.memory.store(self.updated(rows.rows))

    def turn(self, way: Direction, pair: UnpairedBatch, generators: list[torch.Generator]) -> Turn:
        x = {d: pair[d].image for d in OTHER}
        with torch.no_grad():
            c, s = self.encoded(x)
        masks = {d: class_masks(pair[d], len(self.memory.items)) for d in OTHER}
        values = {d: drawn(generators, *self.memory.values(d).shape).to(x[d]) for d in OTHER}
        noise = {d: {of: self.noise * drawn(generators, *c[d].shape[1:]).to(x[d]) for of in DECODED} for d in OTHER}
        return Turn(pair["A"].slots(0, 0), x, masks, values, noise, c, s)

    def content(self, domain: str, image: Tensor) -> Tensor:
        return unit_content(self.networks[f"stem_{domain}"], self.networks["shared"], image)  # (B, C, h, w)

    def encoded(self, x: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Contents c (B, C, h, w) and styles s (B, V, h, w) of both domains' pictures."""
        styles = {d: self.networks[f"style_{d}"](x[d]).to(x[d]) for d in OTHER}
        return {d: self.content(d, x[d]) for d in OTHER}, styles

    def decode(self, domain: str, content: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """A picture of the domain (B, 3, H, W)."""
        features = self.networks["shared_decoder"](content + noise, style)
        return self.networks[f"decoder_{domain}"](features, style)

    # the memory (section 3.2): what it becomes, and what is read from it

    def statistics(self, way: Direction, turn: Turn) -> Tensor:
        """(B, domains, I, ...): what the pictures hold of each item."""
        c, s = self.encoded(turn.x) if torch.is_grad_enabled() else (turn.c, turn.s)
        return self.memory.told(c, s, turn.masks)

    def updated(self, rows: Tensor) -> MemoryState:
        """The memory after the update, with gradients unless reading is ``detached``."""
        rows = rows.detach() if self.reading.detached else rows
        return self.memory.updated(self.memory.seen(rows), self.reading.decay)

    def style_map(self, state: MemoryState, content: Tensor, masks: Tensor, values: Tensor) -> Tensor:
        """What is read for a content from a table of values: (B, V, h, w)."""
        content = content.detach() if self.reading.detached else content
        weights = self.memory.read_weights(content, state.keys, masks, self.reading.temperature)
        return read(weights, values)

    def translations(self, state: MemoryState, turn: Turn, c: Mapping[str, Tensor], own: bool) -> dict[str, Tensor]:
        """Pictures by domain and name, such as fake_B: both decoders' ``DECODED`` but for the last one."""
        made = {}
        for d, source in OTHER.items():
            across = self.style_map(state, c[source], turn.masks[source], state.values[d])
            random = self.style_map(state.detach(), c[source].detach(), turn.masks[source], turn.drawn[source])
            made |= {f"fake_{d}": (c[source], across), f"rand_{d}": (c[source], random)}
            if own:
                made[f"self_{d}"] = c[d], self.style_map(state, c[d], turn.masks[d], state.values[d])
        return {name: self.decode(name[-1], *of, turn.noise[name[-1]][name[:4]]) for name, of in made.items()}

    # losses (section 3.3)

    def discriminator_losses(self, rows: Gathered, way: Direction, turn: Turn) -> Iterator[Losses]:
        with torch.no_grad():
            fakes = self.translations(self.updated(rows.rows), turn, turn.c, own=False)
        yield {f"D_{d}": self.gan(d, fakes, real=False) + gan(self.D[d], turn.x[d], real=True) for d in OTHER}

    def content_losses(self, way: Direction, turn: Turn) -> Iterator[Losses]:
        yield {"D_content": vanilla(self.D_content(turn.c["A"]), False) + vanilla(self.D_content(turn.c["B"]), True)}

    def generator_losses(self, rows: Gathered, shares: Gathered | None, way: Direction, turn: Turn) -> Iterator[Losses]:
        w, x = self.weights, turn.x
        c, s = self.encoded(x)
        all_rows = rows.with_own(turn, self.memory.told(c, s, turn.masks))
        state = self.updated(all_rows)
        made = self.translations(state, turn, c, own=True)
        of_memory = self.memory_values(self.memory_terms(turn, c, s, all_rows), shares)
        by_key, by_style = by_key_and_style(of_memory, self.memory.in_both(self.memory.seen(all_rows)))
        losses = {"key": w.memory_w * by_key, "value": w.memory_w * by_style}
        for source, d in OTHER.items():
            c_again = self.content(d, made[f"fake_{d}"])  # (B, C, h, w)
            style = self.style_map(state, c_again, turn.masks[source], state.values[source])
            made[f"rec_{source}"] = again = self.decode(source, c_again, style, turn.noise[source]["cyc"])
            losses |= {
                f"G_{d}": w.gan_w * self.gan(d, made, real=True),
                f"G_content_{source}": w.content_w * vanilla(self.D_content(c[source]), 0.5),
                f"cyc_{source}": w.cycle_w * l1(again, x[source]),
                f"recon_{source}": w.recon_w * l1(made[f"self_{source}"], x[source]),
                f"recon_c_{source}": w.recon_c_w * l1(c_again, c[source]),
                f"style_{source}": w.style_w * s[source].square().mean((1, 2, 3)),
                f"small_{source}": w.small_w * c[source].square().mean((1, 2, 3)),
            }
        yield losses
        shown = {f"real_{d}": x[d] for d in OTHER} | made
        order = {d: (f"real_{d}", f"fake_{OTHER[d]}", f"rand_{OTHER[d]}", f"rec_{d}") for d in OTHER}
        return {d: {name: InstanceBatch.from_images(shown[name]) for name in names} for d, names in order.items()}

    def gan(self, domain: str, made: Mapping[str, Tensor], real: bool) -> Tensor:
        """(B,): the mean of both kinds of translation."""
        return sum(gan(self.D[domain], made[f"{kind}_{domain}"], real) / 2 for kind in ("fake", "rand"))

    def memory_terms(self, turn: Turn, c: Mapping[str, Tensor], s: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        """What each picture adds to the memory's losses, all with the memory as it was: (B, domains, 2 K + 1)."""
        tau = None if self.reading.published_losses else self.reading.tau
        of = {d: (c[d], s[d], turn.masks[d], seen, tau) for d, seen in self.memory.seen(rows).items()}
        return torch.stack([memory_terms(self.memory, d, *given) for d, given in of.items()], dim=1)

    def memory_values(self, of_rows: Tensor, shares: Gathered | None) -> Tensor:
        return of_rows if shares is None else of_shares(of_rows, shares.rows.detach().mean(0))

    def shares(self, rows: Gathered, way: Direction, turn: Turn) -> Tensor:
        return self.memory_terms(turn, turn.c, turn.s, rows.rows)

    def translators(self) -> Mapping[Direction, OneWayTranslator]:
        n, needs = self.networks, ("boxes", "labels", "style") if self.by_class else ("style",)

        def generator(source: str, target: str) -> MemoryGenerator:
            stem, decoder = n[f"stem_{source}"], n[f"decoder_{target}"]
            parts = stem, n["shared"], self.memory, n["shared_decoder"], decoder
            return MemoryGenerator(*parts, target, self.reading.temperature, self.by_class)

        return {way: OneWayTranslator(generator(way.source, way.target), needs) for way in self.directions}

    def optimizers(self) -> dict[str, GuardedAdam]:
        return {"G": self.optimizer_G, "D": self.optimizer_D, "content": self.optimizer_content}

    @staticmethod
    def dataset_mode(options: Namespace) -> str:
        return "unaligned_seg"

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        flag = add_shared_options(parser, training, "mguit", Weights).add_argument
        flag("--memory_items", type=whole(2), nargs="+", default=list(ITEMS), metavar="N", help="items of the "
             "background and of each category, in their order; objects of further categories count as background")
        flag("--memory_temperature", type=finite(above=True), default=1.0, help="of reading: below 1 items that fit "
             "best count more; 0.1 is better than the published 1")
        if not training:
            flag("--by_class", action="store_true", help="read items of the class of each box; needs annotations")
            return
        flag("--memory_losses", choices=("intended", "published"), default="intended", help="contrastive losses, or "
             "those of the published code, which hardly change")
        flag("--memory_detached", action="store_true", help="no gradient through the memory, as published")
        flag("--memory_decay", action="store_true", help="halve values without positions at every update, as published")
        flag("--memory_noise", type=finite(), default=0.1, help="deviation of the noise on contents before decoding")

    @classmethod
    def from_options(cls, options: Namespace) -> MguitModel:
        told = vars(options).get
        reading = Reading(
            told("memory_losses") == "published", bool(told("memory_detached")), bool(told("memory_decay")),
            options.memory_temperature,
        )  # fmt: skip
        judges = options.dis_scale, options.content_layers, options.dis_norm
        networks = new_networks(options.ngf, options.ndf, options.memory_items, *judges, options.upsample)
        rates = options.lr, options.lr_D, options.beta1, options.weight_decay
        noise, by_class = told("memory_noise", 0.0), bool(told("by_class"))
        model = cls(networks, cls.weights_of(options), reading, noise, options.d_iter, *rates, by_class=by_class)
        initialise(model.networks, options.init_type, options.init_gain, linear=False)
        return model
