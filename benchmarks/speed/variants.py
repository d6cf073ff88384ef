"""What the benchmarks compare: the published schedule and the project's own model, built from flags as a user would."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.published import PublishedSystem
from benchmarks.speed.published_insta_former import FLAGS, PublishedInstaFormer
from benchmarks.speed.published_munit import PublishedMunit
from engine.device import choose_device, prepare
from engine.method import state_of
from engine.update import Losses, Update
from instagan.errors import InputError
from instagan.flag_types import whole
from instagan.kernels import KERNELS
from instagan.kernels.processor import PRECISIONS
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from models import MODELS
from models.insta_former_model import InstaFormerModel
from models.munit_model import MunitModel
from options.build import build_model
from options.parse import parse_training

PUBLISHED, OURS = "published", "ours"
SWITCHES: dict[str, tuple[str, ...]] = {
    "fp32": ("--precision", "fp32"),
    "bf16": ("--precision", "bf16"),
    "fp16": ("--precision", "fp16"),
    "compile": ("--compile",),
    "checkpoint": ("--checkpoint_activations",),
    "contiguous": ("--memory_format", "contiguous"),
    "channels_last": ("--memory_format", "channels_last"),
}
"""Part of a variant's name -> flags of train.py."""
NO_ALLOCATOR = "no_allocator"
WITHOUT: dict[str, frozenset[str]] = {f"no_{name}": frozenset({name}) for name in KERNELS} | {NO_ALLOCATOR: frozenset()}
"""Part of a variant's name -> kernels that are left out; without the allocator's settings there are no fewer."""

PER_SWITCH = ("compile", "checkpoint")
METHODS = {"insta_gan": ("ins_max", "ins_per"), "munit": (), "init": ("ins_max",), "insta_former": ("ins_max",)}
"""Methods that can be measured, and which flags on instances each knows."""
SMALLEST = {"insta_gan": 32, "munit": 64, "init": 64, "insta_former": 64}
"""Sides of small images that each can be trained on."""


@dataclass(frozen=True)
class Variant:
    """``published``, ``ours`` as it is by default, or with switches: ``ours-bf16-compile``, ``ours-no_columns``."""

    name: str

    @property
    def switches(self) -> tuple[str, ...]:
        return tuple(self.name.split("-")[1:])

    @property
    def flags(self) -> list[str]:
        return [flag for switch in self.switches for flag in SWITCHES.get(switch, ())]

    @property
    def kernels(self) -> set[str]:
        """The faster ways to run layers that it uses."""
        return set(KERNELS).difference(*(WITHOUT.get(switch, ()) for switch in self.switches))

    @property
    def own_allocator(self) -> bool:
        return self.name != PUBLISHED and NO_ALLOCATOR not in self.switches

    def with_switches(self, *switches: str) -> Variant:
        return Variant("-".join([self.name, *(switch for switch in switches if switch not in self.switches)]))

    @classmethod
    def named(cls, name: str) -> Variant:
        """Type of a command line value."""
        system, *switches = name.split("-")
        if (system == OURS and set(switches) <= {*SWITCHES, *WITHOUT}) or name == PUBLISHED:
            return cls(name)
        known = ", ".join((*SWITCHES, *WITHOUT))
        raise ArgumentTypeError(f"{name!r} is neither {PUBLISHED}, {OURS} nor {OURS}-<any of {known}>")


@dataclass(frozen=True)
class Workload:
    """One training step: pictures of ``size`` x ``size``, with ``instances`` in domain A and in B."""

    size: int
    ngf: int
    ndf: int
    instances: tuple[int, int]
    ins_max: int
    ins_per: int
    batch_size: int
    device: str
    method: str = "insta_gan"
    others: tuple[str, ...] = ()
    """Further flags of train.py, the same for all variants."""

    def facts(self) -> dict[str, Any]:
        """For --json, the batch size aside."""
        return {name: value for name, value in asdict(self).items() if name not in ("batch_size", "others")}

    def described(self) -> str:
        """``facts`` in one line."""
        a, b = self.instances
        sets = ", ".join([f"{a} + {b} instances", *(f"{name} {value}" for name, value in self._sets().items())])
        return f"{self.method}, {self.size} x {self.size} pixels, ngf {self.ngf}, ndf {self.ndf}, {sets}"

    def flags(self) -> list[str]:
        """Of train.py. No file is looked at, so that any ``--dataroot`` will do."""
        sizes = {"ngf": self.ngf, "ndf": self.ndf, "load_size": self.size, "fine_size": self.size}
        named = {"dataroot": "benchmark", "model": self.method, "device": self.device, "batch_size": self.batch_size}
        given = named | sizes | self._sets()
        return [word for name, value in given.items() for word in (f"--{name}", str(value))] + [*self.others]

    def _sets(self) -> dict[str, int]:
        """The flags on instances that the method knows."""
        return {name: getattr(self, name) for name in METHODS[self.method]}

    def pair(self) -> UnpairedBatch:
        """Pictures of noise with ellipses as instances; the same in every call."""
        random = torch.Generator().manual_seed(0)
        a, b = (_ellipses(self.batch_size, count, self.size, random) for count in self.instances)
        names = tuple(f"noise {row}" for row in range(self.batch_size))
        return UnpairedBatch({"A": a, "B": b}, {"A": names, "B": names})


def _ellipses(rows: int, count: int, side: int, random: torch.Generator) -> InstanceBatch:
    """Noise (rows, 3, side, side), on every row ``count`` ellipses of a fifth to three fifths of the side."""
    image = torch.rand((rows, 3, side, side), generator=random) * 2 - 1
    line = torch.arange(side) + 0.5
    drawn = torch.rand((4, rows, count, 1, 1), generator=random)
    across, down = (0.1 + 0.2 * drawn[:2]) * side  # half axes
    left, top = across + drawn[2] * (side - 2 * across), down + drawn[3] * (side - 2 * down)  # centres
    inside = ((line - left) / across) ** 2 + ((line[:, None] - top) / down) ** 2 <= 1  # (rows, count, side, side)
    return InstanceBatch.from_masks(image, inside.float() * 2 - 1)


@dataclass(frozen=True)
class System:
    """A variant ready to run. ``training_step`` and ``translate`` (A -> B) take a pair on the device."""

    training_step: Callable[[UnpairedBatch], object]
    translate: Callable[[UnpairedBatch], object]
    dtype: torch.dtype
    device: torch.device


def build(variant: Variant, workload: Workload) -> System:
    """All variants start from the same weights. Raises ``InputError`` where train.py does not know a switch."""
    published = FLAGS if variant.name == PUBLISHED and workload.method == "insta_former" else ()
    options = parse_training([*workload.flags(), *variant.flags, *published]).values
    device = choose_device(options)
    prepare(device, options, own_allocator=variant.own_allocator)
    if variant.name == PUBLISHED and workload.method != "insta_gan":
        plain = MODELS[options.model].from_options(options).to(device)
        if isinstance(plain, InstaFormerModel):
            step = PublishedInstaFormer(plain).training_step
        else:
            assert isinstance(plain, MunitModel)
            step = PublishedMunit(plain).training_step
        return System(step, lambda pair: plain.translate(pair["A"], "b"), torch.float32, device)
    model = build_model(options, device, kernels=variant.kernels)
    if variant.name == PUBLISHED:
        state: dict[str, dict[str, Tensor]] = state_of(model)["networks"]
        system = PublishedSystem(state, options, device)
        return System(system.training_step, system.test_step, torch.float32, device)
    dtype = PRECISIONS[getattr(options, "precision", "fp32")]

    def training_step(pair: UnpairedBatch) -> Losses:
        update = Update([pair], device=device)
        model.training_step(update)
        return update.losses()

    return System(training_step, lambda pair: model.translate(pair["A"], "b"), dtype, device)


def add_workload(parser: ArgumentParser) -> None:
    """Flags of what is measured; None stands for what ``--small`` decides on."""
    parser.add_argument(
        "--method", choices=tuple(METHODS), default="insta_gan", help="what is trained; published is MUNIT's for init"
    )
    parser.add_argument("--small", action="store_true", help="the demo's sizes: 64 x 64, ngf and ndf 16")
    parser.add_argument("--size", type=whole(32), help="width and height of the images (default: 200)")
    parser.add_argument("--ngf", type=whole(1), help="width of the generators (default: 64)")
    parser.add_argument("--ndf", type=whole(1), help="width of the discriminators (default: 64)")
    parser.add_argument(
        "--instances", type=whole(1), nargs="+", default=[4], metavar="N", help="of an image of A, and of B"
    )
    parser.add_argument("--ins_max", type=whole(1), default=4, help="as for train.py")
    parser.add_argument("--ins_per", type=whole(1), default=2, help="as for train.py")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1")


def workload_of(options: Namespace, batch_size: int) -> Workload:
    """Raises ``InputError`` for flags that do not fit."""
    if len(options.instances) > 2:
        raise InputError("--instances takes one number for both domains, or one for each; drop the others")
    size, ngf, ndf = (64, 16, 16) if options.small else (200, 64, 64)
    workload = Workload(
        size=options.size or size,
        ngf=options.ngf or ngf,
        ndf=options.ndf or ndf,
        instances=(options.instances[0], options.instances[-1]),
        ins_max=options.ins_max,
        ins_per=options.ins_per,
        batch_size=batch_size,
        device=options.device,
        method=options.method,
    )
    checked = parse_training(workload.flags()).values
    return replace(workload, device=str(choose_device(checked)))


def add_variants(parser: ArgumentParser, default: tuple[str, ...]) -> None:
    parser.add_argument(
        "--variant", type=Variant.named, nargs="+", default=[Variant(name) for name in default], metavar="V",
        help=f"{PUBLISHED}, {OURS}, or {OURS} with switches such as {OURS}-bf16-compile (default: {' '.join(default)})",
    )  # fmt: skip
    parser.add_argument("--precision", choices=PRECISIONS, nargs="+", default=[], help=f"adds {OURS}-<precision>")
    for switch in PER_SWITCH:
        flag = SWITCHES[switch][0]
        parser.add_argument(flag, dest=switch, action="store_true", help=f"adds every {OURS} with {flag}")


def variants_of(options: Namespace) -> list[Variant]:
    """The named variants; then ours at each ``--precision``; then all of ours once more with the switches given."""
    chosen = list(options.variant) + [Variant(OURS).with_switches(name) for name in options.precision]
    switches = [switch for switch in PER_SWITCH if getattr(options, switch)]
    if switches:
        chosen += [variant.with_switches(*switches) for variant in chosen if variant.name != PUBLISHED]
    return list(dict.fromkeys(chosen))
