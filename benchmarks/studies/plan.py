"""The yaml of a study -> what is compared, on what, for how long. See benchmarks/streets.yaml."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from instagan.errors import InputError

ROOT = Path(__file__).resolve().parent.parent.parent
PROTOCOL = 1
"""Version of what the figures mean; runs of another one are not mixed."""
UPDATES, SECONDS = "updates", "seconds"
"""The budgets: equally many updates of the generators, equally many seconds of processor time."""
NEEDED = {"title", "judge", "dataroot", "images", "styles", "seeds", "budgets", "methods"}
KEYS = NEEDED | {"values", "prepare", "flags", "quick"}
METHOD_KEYS = {"title", "config", "flags", "translating", "steps_per_update"}
PREPARE_KEYS = {"makes", "command", "for"}
NOT_SETTINGS = ("name", "dataroot", "seed")
"""Flags of a config that the study sets by itself."""


@dataclass(frozen=True)
class Compared:
    """A method as it is trained.

    config: file of flags, or none; flags: those that come after it; translating: those of test.py
    steps_per_update: steps of train.py of which one steps the generators (DRIT's ``--d_iter``)
    """

    title: str
    config: Path | None
    flags: Mapping[str, Any]
    translating: Mapping[str, Any]
    steps_per_update: int

    def settings(self) -> dict[str, Any]:
        """All flags by name, as they stand in the files, without what tells where things lie."""
        told = yaml.safe_load(self.config.read_text(encoding="utf-8")) if self.config else {}
        flags = {name: value for name, value in {**told, **self.flags}.items() if name not in NOT_SETTINGS}
        return {"flags": flags, "translating": dict(self.translating), "steps_per_update": self.steps_per_update}


@dataclass(frozen=True)
class Preparation:
    """A program of the checkout that makes a file or folder; methods: those that need it, none: all."""

    makes: str
    command: str
    methods: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """A study. Texts with ``{runs}``, ``{dataroot}`` and the names of ``values`` in them are filled in by ``told``.

    judge: who measures (``judging.JUDGES``); images: so many of each domain's validation images are translated;
    styles: translations of each of them, where a method has styles; budgets: ``UPDATES``, ``SECONDS``, or both.
    """

    title: str
    judge: str
    dataroot: str
    images: int
    styles: int
    seeds: tuple[int, ...]
    budgets: Mapping[str, float]
    values: Mapping[str, Any]
    prepare: tuple[Preparation, ...]
    methods: Mapping[str, Compared]

    def settings(self, method: str) -> dict[str, Any]:
        """What decides on the outcome of a run, beside its seed."""
        needed = [one.command for one in self.prepare if not one.methods or method in one.methods]
        return {
            "protocol": PROTOCOL,
            "judge": self.judge,
            "images": self.images,
            "styles": self.styles,
            "budgets": dict(self.budgets),
            "values": dict(self.values),
            "prepare": needed,
            **self.methods[method].settings(),
        }

    def told(self, text: str, runs: Path, quote: Callable[[str], str] = str) -> str:
        """The text with its names filled in. quote: of the folders. Raises ``InputError`` for a name nobody told."""
        known: dict[str, Any] = {**self.values, "runs": quote(str(runs))}
        try:
            if text != self.dataroot:
                known["dataroot"] = quote(self.told(self.dataroot, runs))
            return text.format_map(known)
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            names = ", ".join(f"{{{name}}}" for name in ("runs", "dataroot", *self.values))
            raise InputError(f"the study's {text!r} cannot be filled in ({error}); the names are {names}") from None

    def command(self, one: Preparation, runs: Path) -> list[str]:
        """The words of the command line; a value may stand for several."""
        return shlex.split(self.told(one.command, runs, shlex.quote))

    def flags(self, method: str, seed: int, runs: Path) -> list[str]:
        """What train.py would be called with, but for where its checkpoints are."""
        compared = self.methods[method]
        config = ["--config", str(compared.config)] if compared.config else []
        return [*config, *self._typed({"dataroot": self.dataroot, **compared.flags, "seed": seed}, runs)]

    def translating_flags(self, method: str, runs: Path) -> list[str]:
        """What test.py would be called with, but for where checkpoints and results are."""
        compared = self.methods[method]
        device = {name: value for name, value in compared.flags.items() if name in ("device", "gpu_ids")}
        return self._typed({"dataroot": self.dataroot, **device, **compared.translating}, runs)

    def _typed(self, flags: Mapping[str, Any], runs: Path) -> list[str]:
        typed: list[str] = []
        for name, value in flags.items():
            if value is True:
                typed.append(f"--{name}")
            elif value is not None and value is not False:
                many = value if isinstance(value, list) else [value]
                typed += [f"--{name}", *(self.told(one, runs) if isinstance(one, str) else str(one) for one in many)]
        return typed


def read_plan(file: Path, quick: bool = False) -> Plan:
    """quick: with what stands under ``quick`` in the place of the rest. Raises ``InputError`` naming file and key."""
    try:
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; pass the yaml of a study, such as benchmarks/streets.yaml") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{file} cannot be read ({' '.join(str(error).split())[:200]})") from None
    _check_keys(file, "the study", told, KEYS, NEEDED)
    if quick:
        told = _with(told, told.get("quick") or {})
    for name, kind in {
        "title": str,
        "judge": str,
        "dataroot": str,
        "images": int,
        "styles": int,
        "seeds": list,
    }.items():
        if not isinstance(told[name], kind) or told[name] in ([], 0):
            raise InputError(f"{file}: {name} is {told[name]!r}; write {WANTED[kind]}")
    if not all(isinstance(seed, int) and seed >= 0 for seed in told["seeds"]):
        raise InputError(f"{file}: seeds are {told['seeds']!r}; write whole numbers from 0 on")
    methods = told["methods"]
    _check_keys(file, "methods", methods, None, set())
    return Plan(
        told["title"],
        told["judge"],
        told["dataroot"],
        told["images"],
        told["styles"],
        tuple(told["seeds"]),
        _budgets(file, told["budgets"]),
        told.get("values") or {},
        tuple(_preparation(file, one, methods) for one in told.get("prepare") or ()),
        {name: _compared(file, name, one, told.get("flags") or {}) for name, one in methods.items()},
    )


WANTED = {str: "a text", int: "a whole number above 0", list: "a list"}


def _compared(file: Path, name: str, told: Mapping[str, Any], common: Mapping[str, Any]) -> Compared:
    _check_keys(file, f"the method {name}", told, METHOD_KEYS, set())
    config = ROOT / told["config"] if "config" in told else None
    if config and not config.is_file():
        raise InputError(f"{file}: {name} has config: {told['config']}, and there is no such file in {ROOT}")
    flags = {**common, **(told.get("flags") or {})}
    if not config and "model" not in flags:
        raise InputError(f"{file}: {name} has no model; give it a config, or flags with a model")
    steps = int(told.get("steps_per_update", 1))
    return Compared(told.get("title", name), config, flags, told.get("translating") or {}, steps)


def _preparation(file: Path, told: Mapping[str, Any], methods: Mapping[str, Any]) -> Preparation:
    _check_keys(file, "a preparation", told, PREPARE_KEYS, {"makes", "command"})
    needed_by = tuple(told.get("for") or ())
    if unknown := set(needed_by) - set(methods):
        raise InputError(f"{file}: {told['makes']} is for {', '.join(sorted(unknown))}, which is none of the methods")
    return Preparation(told["makes"], told["command"], needed_by)


def _budgets(file: Path, told: Any) -> dict[str, float]:
    _check_keys(file, "budgets", told, {UPDATES, SECONDS}, set())
    if not told or not all(isinstance(value, (int, float)) and value > 0 for value in told.values()):
        raise InputError(f"{file}: budgets are {told!r}; write updates: or seconds:, or both, above 0")
    return {name: told[name] for name in (UPDATES, SECONDS) if name in told}


def _check_keys(file: Path, what: str, told: Any, known: set[str] | None, needed: set[str]) -> None:
    if not isinstance(told, dict):
        raise InputError(f"{file}: {what} is no list of names and values")
    for wrong in sorted(set(told) - known) if known is not None else ():
        raise InputError(f"{file}: {what} has {wrong}, which is none of {', '.join(sorted(known or ()))}")
    for missing in sorted(needed - set(told)):
        raise InputError(f"{file}: {what} has no {missing}; see benchmarks/streets.yaml")


def _with(told: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """budgets are replaced as a whole, other groups of names one by one."""
    grouped = {name for name in ("values", "flags") if name in changed}
    return {**told, **changed, **{name: {**(told.get(name) or {}), **changed[name]} for name in grouped}}


def chosen(plan: Plan, methods: Sequence[str] | None, seeds: Sequence[int] | None) -> list[tuple[str, int]]:
    """The runs that are asked for, seed by seed, so that a study that is stopped early has something on every method.

    Raises ``InputError`` for a method that the study does not have.
    """
    for name in methods or ():
        if name not in plan.methods:
            raise InputError(f"--methods {name}: the study has {', '.join(plan.methods)}")
    return [(name, seed) for seed in seeds or plan.seeds for name in methods or plan.methods]
