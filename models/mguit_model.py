"""MGUIT: memory-guided unsupervised image-to-image translation (Jeong, Kim, Lee, Sohn, CVPR 2021).

Content, which both domains share, is matched with the keys of a memory that has items for every class of objects; the
values of the other domain that are read there make a style map, so that different objects change in different ways.
The memory is a state: each update moves it towards the contents and styles of the update's pictures.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.freezing import frozen
from engine.optimizer import GuardedAdam
from engine.update import Gathered, Losses, Update
from instagan.flag_types import finite, whole
from instagan.losses import l1, vanilla
from instagan.losses.memory import cross_entropy, memory_terms, share
from instagan.networks.blocks import initialise
from instagan.networks.drit import CONTENT_LAYERS, ContentDiscriminator, ContentStem, SharedBlock, discriminator
from instagan.networks.memory import (
    ITEMS,
    ClassMemory,
    MemoryState,
    Statistics,
    class_masks,
    in_full,
    read,
    similarity,
    topmost,
)  # fmt: skip
from instagan.networks.mguit import DomainDecoder, MemoryGenerator, SharedDecoder, StyleMapEncoder, unit_content
from instagan.structures.directions import Direction
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.one_way import OneWayTranslator
from models.drit_model import CONTENT_NORM, CONTENT_RATE, OTHER, DritModel, gan
from models.translation_model import TranslationModel

WEIGHTS = {
    "gan_w": "the GAN losses of images",
    "content_w": "the GAN loss of contents",
    "cycle_w": "the cross-cycle loss",
    "recon_w": "the reconstruction loss",
    "recon_c_w": "the content reconstruction loss",
    "style_w": "style maps' mean square",
    "small_w": "contents' mean square (constant)",
    "memory_w": "the memory's losses",
}
DECODED = ("fake", "rand", "self", "cyc")
"""What a domain's decoder makes: translations by the memory and by drawn values, own pictures, and those again."""


@dataclass(frozen=True)
class Weights:
    """Of the losses (section 3.3). At 0 a term is still computed, but counts for nothing."""

    gan_w: float = 1.0
    content_w: float = 1.0
    cycle_w: float = 50.0
    recon_w: float = 10.0
    recon_c_w: float = 1.0
    style_w: float = 0.01
    small_w: float = 0.01
    memory_w: float = 1.0


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


class MguitModel(TranslationModel):
    """Both directions are learnt together, because they share the memory and layers of encoders and decoders."""

    takes = ("boxes", "labels")
    architecture = ("memory_items", "dis_scale", "dis_norm", "content_layers")
    ways = (tuple(OTHER),)

    def __init__(
        self, networks: Mapping[str, nn.Module], weights: Weights = Weights(), reading: Reading = Reading(),
        noise: float = 0.1, d_iter: int = 3, lr: float = 1e-4, lr_D: float | None = None, beta1: float = 0.5,
        weight_decay: float = 1e-4, by_class: bool = False,
    ) -> None:  # fmt: skip
        """networks: see ``new_networks``. noise: deviation of what is added to contents before decoding."""
        super().__init__()
        self.networks, self.pools = nn.ModuleDict(networks), {}
        self.weights, self.reading, self.noise, self.d_iter, self.by_class = weights, reading, noise, d_iter, by_class
        self.memory: ClassMemory = self.networks["memory"]
        self.D = {letter: self.networks[f"D_{letter}"] for letter in OTHER}
        self.D_content = self.networks["D_content"]
        judges = [*self.D.values(), self.D_content]
        learnt = [one for name, one in networks.items() if one not in judges and name != "memory"]
        lr_D, rates = lr if lr_D is None else lr_D, {"beta1": beta1, "weight_decay": weight_decay}
        self.optimizer_G = GuardedAdam(learnt, lr, **rates)
        self.optimizer_D = GuardedAdam(self.D.values(), lr_D, **rates)
        self.optimizer_content = GuardedAdam([self.D_content], CONTENT_RATE * lr_D, max_norm=CONTENT_NORM, **rates)

    def training_step(self, update: Update) -> None:
        """Section 3.4: of ``d_iter`` updates only the last one goes beyond the content discriminator."""
        update.whole = (update.progress.steps + 1) % self.d_iter == 0
        for turns in update.at_once(self.ways, self.turn):
            if not update.whole:
                turns.minimise(self.optimizer_content, self.content_discriminator_losses)
                continue
            rows = turns.gather(self.ways[0], self.statistics)
            turns.minimise(self.optimizer_D, partial(self.discriminator_losses, rows))
            turns.minimise(self.optimizer_content, self.content_discriminator_losses)
            shares = turns.gather(self.ways[0], partial(self.shares, rows)) if self.reading.published_losses else None
            with frozen(*self.D.values(), self.D_content):
                turns.minimise(self.optimizer_G, partial(self.generator_losses, rows, shares), rows)
            self.memory.store(self.updated(rows.rows))

    def turn(self, way: tuple[str, ...], pair: UnpairedBatch, generators: list[torch.Generator]) -> Turn:
        x = {letter: pair[letter].image for letter in OTHER}
        with torch.no_grad():
            c, s = {letter: self.content(letter, x[letter]) for letter in OTHER}, self.styles(x)
        masks = {letter: class_masks(pair[letter], len(self.memory.items)) for letter in OTHER}
        drawn = {letter: draw(self.memory.values(letter), generators) for letter in OTHER}
        noise = {
            letter: {name: self.noise * draw(c[letter][0], generators) for name in DECODED} for letter in OTHER
        }
        return Turn(pair["A"].slots(0, 0), x, masks, drawn, noise, c, s)

    def content(self, letter: str, image: Tensor) -> Tensor:
        return unit_content(self.networks[f"stem_{letter}"], self.networks["shared"], image)  # (B, C, h, w)

    def styles(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {letter: self.networks[f"style_{letter}"](x[letter]) for letter in OTHER}  # (B, V, h, w)

    def decode(self, letter: str, content: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """A picture of the domain (B, 3, H, W)."""
        features = self.networks["shared_decoder"](content + noise, style)
        return self.networks[f"decoder_{letter}"](features, style)

    # the memory (section 3.2): what it becomes, and what is read from it

    def statistics(self, way: tuple[str, ...], turn: Turn) -> Tensor:
        """(B, domains, I, ...): what the pictures hold of each item."""
        c, s = turn.c, turn.s
        if torch.is_grad_enabled():
            c, s = {letter: self.content(letter, turn.x[letter]) for letter in OTHER}, self.styles(turn.x)
        return self.told(turn, c, s)

    def told(self, turn: Turn, c: Mapping[str, Tensor], s: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([self.memory.statistics(d, c[d], s[d], turn.masks[d]).packed() for d in OTHER], dim=1)

    def seen(self, rows: Tensor) -> dict[str, Statistics]:
        channels = self.memory.keys.shape[1]
        return {d: Statistics.unpacked(of, channels) for d, of in zip(OTHER, rows.unbind(1), strict=True)}

    def updated(self, rows: Tensor) -> MemoryState:
        """The memory after the update, with gradients unless reading is ``detached``."""
        rows = rows.detach() if self.reading.detached else rows
        return self.memory.updated(self.seen(rows), self.reading.decay)

    def style_map(self, state: MemoryState, content: Tensor, masks: Tensor, *values: Tensor) -> list[Tensor]:
        """What is read for a content, (B, V, h, w) for each table of values."""
        content = content.detach() if self.reading.detached else content
        weights = self.memory.read_weights(content, state.keys, masks, self.reading.temperature)
        return [read(weights, one) for one in values]

    def translations(self, state: MemoryState, turn: Turn, c: Mapping[str, Tensor], own: bool) -> dict[str, Tensor]:
        """Pictures by domain and name, such as fake_B: both decoders' ``DECODED`` but for the last one."""
        made = {}
        for d, source in OTHER.items():
            (across,) = self.style_map(state, c[source], turn.masks[source], state.values[d])
            (drawn,) = self.style_map(state.detach(), c[source].detach(), turn.masks[source], turn.drawn[source])
            made |= {f"fake_{d}": (c[source], across), f"rand_{d}": (c[source], drawn)}
            if own:
                made[f"self_{d}"] = (c[d], *self.style_map(state, c[d], turn.masks[d], state.values[d]))
        return {name: self.decode(name[-1], *of, turn.noise[name[-1]][name[:4]]) for name, of in made.items()}

    # losses (section 3.3)

    @torch.no_grad()
    def fakes(self, rows: Gathered, turn: Turn) -> dict[str, Tensor]:
        return self.translations(self.updated(rows.rows), turn, turn.c, own=False)

    def discriminator_losses(self, rows: Gathered, way: tuple[str, ...], turn: Turn) -> Iterator[Losses]:
        fakes = self.fakes(rows, turn)
        yield {
            f"D_{d}": self.gan(d, fakes, real=False) + gan(self.D[d], turn.x[d], real=True) for d in OTHER
        }

    def content_discriminator_losses(self, way: tuple[str, ...], turn: Turn) -> Iterator[Losses]:
        yield {"D_content": vanilla(self.D_content(turn.c["A"]), False) + vanilla(self.D_content(turn.c["B"]), True)}

    def generator_losses(
        self, rows: Gathered, shares: Gathered | None, way: tuple[str, ...], turn: Turn
    ) -> Iterator[Losses]:
        w, x = self.weights, turn.x
        c, s = {d: self.content(d, x[d]) for d in OTHER}, self.styles(x)
        all_rows = rows.with_own(turn, self.told(turn, c, s))
        state = self.updated(all_rows)
        made = self.translations(state, turn, c, own=True)
        terms = self.memory_terms(turn, c, s, all_rows)
        losses = self.memory_losses(self.memory_values(terms, all_rows, shares), all_rows)
        for source, d in OTHER.items():
            c_again = self.content(d, made[f"fake_{d}"])  # (B, C, h, w)
            (style,) = self.style_map(state, c_again, turn.masks[source], state.values[source])
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
        of_memory, drawn = (gan(self.D[domain], made[f"{kind}_{domain}"], real) for kind in ("fake", "rand"))
        return (of_memory + drawn) / 2

    def memory_values(self, terms: Tensor, rows: Tensor, shares: Gathered | None) -> Tensor:
        """(B, domains, 2 K + 1) each loss of the memory, its mean over all rows being that over positions."""
        of_rows = len(rows) * terms
        if shares is None:
            return of_rows
        mean = shares.rows.detach().sum(0)  # (domains, 2 K + 1); exp(-x) by what it is there and its slope
        return 0.1 * (-mean).exp() * (1 + mean - of_rows)

    def memory_losses(self, of_rows: Tensor, rows: Tensor) -> Losses:
        """Sums over domains and over the classes that both domains have, and that over all items."""
        both = self.memory.in_both(self.seen(rows))  # (K,)
        by_key, by_style, by_all = of_rows.sum(1).split((len(both), len(both), 1), dim=1)
        keys = (by_key * both).sum(1) + by_all[:, 0]  # (B,)
        return {"key": self.weights.memory_w * keys, "value": self.weights.memory_w * (by_style * both).sum(1)}

    def memory_terms(self, turn: Turn, c: Mapping[str, Tensor], s: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        """What positions add to the losses of each class, by key and by value, and to that over all items, all with the
        memory as it was: (B, domains, 2 K + 1), divided by the numbers of positions in all rows."""
        found, memory = [], self.memory
        for d, seen in self.seen(rows).items():
            with in_full(c[d]):
                of_keys, masks = similarity(c[d], memory.keys), turn.masks[d]  # (B, I, h, w)
                if self.reading.published_losses:
                    likenesses = of_keys, similarity(s[d], memory.values(d)), of_keys
                    logs = (seen.log_sum, seen.log_styles, seen.log_totals)
                    of_class, of_styles, of_all = (
                        likeness - log_sums.logsumexp(0)[:, None, None]
                        for likeness, log_sums in zip(likenesses, logs, strict=True)
                    )
                else:
                    of_class = of_all = of_keys / self.reading.tau
                    unit = functional.normalize(memory.values(d), dim=1)
                    of_styles = similarity(functional.normalize(s[d], dim=1), unit) / self.reading.tau
                chosen = memory.assigned(of_class, masks)
                top = chosen & memory.within(topmost(masks))
                term = share if self.reading.published_losses else cross_entropy
                sums = memory_terms(term, of_class, of_styles, of_all, chosen, top, memory.items)  # (B, 2 K + 1)
                of_classes, everywhere = memory.positions(seen), masks[0, 0].numel() * len(rows)
                counts = torch.cat([of_classes, of_classes, of_classes.new_tensor([everywhere])])
                found.append(sums / counts.clamp(min=1))
        return torch.stack(found, dim=1)

    def shares(self, rows: Gathered, way: tuple[str, ...], turn: Turn) -> Tensor:
        return self.memory_terms(turn, turn.c, turn.s, rows.rows)

    def translators(self) -> Mapping[Direction, OneWayTranslator]:
        needs = ("boxes", "labels", "style") if self.by_class else ("style",)
        n = self.networks
        return {
            Direction(source, d): OneWayTranslator(
                MemoryGenerator(
                    n[f"stem_{source}"], n["shared"], self.memory, n["shared_decoder"], n[f"decoder_{d}"], d,
                    self.reading.temperature, self.by_class,
                ),
                needs,
            )
            for source, d in OTHER.items()
        }  # fmt: skip

    def optimizers(self) -> dict[str, GuardedAdam]:
        return {"G": self.optimizer_G, "D": self.optimizer_D, "content": self.optimizer_content}

    @staticmethod
    def dataset_mode(options: Namespace) -> str:
        return "unaligned_seg"

    fill_in, remarks, smallest_side = DritModel.fill_in, DritModel.remarks, DritModel.smallest_side

    @staticmethod
    def add_options(parser: ArgumentParser, training: bool) -> None:
        if training:
            parser.set_defaults(lr=1e-4, niter=600, niter_decay=600)
        flag = parser.add_argument_group("mguit").add_argument
        flag("--d_iter", type=whole(1), default=3, help="updates of the content discriminator for one of all networks")
        flag("--dis_scale", type=whole(1, 8), default=3, help="scales of the image discriminators; 3 need images of 61 "
             "pixels, 2 of 31; 1: a single, wider one")
        flag("--dis_norm", choices=("none", "instance"), default="none", help="norm of all discriminators' layers")
        flag("--content_layers", type=whole(0, CONTENT_LAYERS), help="strided layers of the content discriminator "
             "(default: as many as the images have room for; from 212 pixels on the published 3)")
        flag("--weight_decay", type=finite(), default=1e-4, help="weight decay of Adam")
        flag("--memory_items", type=whole(2), nargs="+", default=list(ITEMS), metavar="N", help="items of the "
             "background and of each category, in their order; objects of further categories count as background")
        flag("--memory_temperature", type=finite(), default=1.0, help="of reading: below 1 the items that fit best "
             "count more; 0.1 is better than the published 1")
        if not training:
            flag("--by_class", action="store_true", help="read items of the class of each box; needs annotations")
            return
        flag("--memory_losses", choices=("intended", "published"), default="intended", help="contrastive losses, or "
             "those of the published code, which hardly change")
        flag("--memory_detached", action="store_true", help="no gradient through the memory, as published")
        flag("--memory_decay", action="store_true", help="halve values without positions at every update, as published")
        flag("--memory_noise", type=finite(), default=0.1, help="deviation of the noise on contents before decoding")
        for name, what in WEIGHTS.items():
            flag(f"--{name}", type=finite(), default=getattr(Weights, name), help=f"weight of {what}")

    @classmethod
    def from_options(cls, options: Namespace) -> MguitModel:
        weights = Weights(**{name: getattr(options, name, value) for name, value in vars(Weights()).items()})
        told = vars(options).get
        reading = Reading(
            told("memory_losses") == "published", bool(told("memory_detached")), bool(told("memory_decay")),
            options.memory_temperature,
        )  # fmt: skip
        judges = options.dis_scale, options.content_layers, options.dis_norm
        networks = new_networks(options.ngf, options.ndf, options.memory_items, *judges)
        rates = options.lr, options.lr_D, options.beta1, options.weight_decay
        by_class = bool(told("by_class"))
        model = cls(networks, weights, reading, told("memory_noise", 0.0), options.d_iter, *rates, by_class=by_class)
        initialise(model.networks, options.init_type, options.init_gain, linear=False)
        return model


def new_networks(
    ngf: int, ndf: int, items: Sequence[int] = ITEMS, scales: int = 3, layers: int = CONTENT_LAYERS, norm: str = "none"
) -> dict[str, nn.Module]:
    """All networks of the method, by name. scales, layers, norm: of the discriminators."""
    networks: dict[str, nn.Module] = {"shared": SharedBlock(ngf), "shared_decoder": SharedDecoder(ngf)}
    for d in OTHER:
        networks |= {f"stem_{d}": ContentStem(ngf), f"style_{d}": StyleMapEncoder(ngf)}
        networks |= {f"decoder_{d}": DomainDecoder(ngf), f"D_{d}": discriminator(ndf, scales, norm)}
    judge = ContentDiscriminator(ngf, layers, norm)
    return networks | {"D_content": judge, "memory": ClassMemory(items, 4 * ngf, 2 * ngf)}


def draw(like: Tensor, generators: list[torch.Generator]) -> Tensor:
    """N(0, I) of this shape for every row, a row from each generator: (B, ...)."""
    return torch.stack([torch.randn(like.shape, generator=one) for one in generators]).to(like)
