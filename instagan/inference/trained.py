"""A trained model, however it is kept -> the weights of the generator of one direction, and what is told about it.

run folder          checkpoints/NAME/: options.yaml, latest.pth, 5.pth      as train.py writes it
checkpoint file     latest.pth, alone or in its folder
exported model      NAME.safetensors                                        as scripts/export.py writes it
published weights   latest_net_G_A.pth, or the folder of them               as the published system writes them
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from instagan.errors import InputError
from instagan.inference.architecture import Architecture
from instagan.inference.published import from_published
from instagan.io.options_file import OPTIONS, flat_yaml
from instagan.io.tensor_files import detached, read_card, read_exported, read_tensors, state_dict

TOLD = (
    "model",
    "ngf",
    "norm",
    "netG",
    "with_masks",
    "direction",
    "ins_per",
    "set_order",
    "fine_size_w",
    "fine_size_h",
)
"""Names of the options that say how a model translates: what a checkpoint keeps of its run's options."""

LEAST_ONE = ("ngf", "ins_per", "fine_size_w", "fine_size_h")
KINDS: Mapping[str, type] = {"with_masks": bool, **dict.fromkeys(LEAST_ONE, int)}
"""What the values of those are that are no words."""

METHODS = ("insta_gan", "cycle_gan", "cycle_gan_seg")
NETWORKS = ("G_A", "G_B", "D_A", "D_B")
PUBLISHED = re.compile(r"(?P<epoch>.+)_net_G_(?P<source>[AB])\.pth")
PUBLISHED_OPTIONS = "opt.txt"
PUBLISHED_SPELLING = {"fineSizeW": "fine_size_w", "fineSizeH": "fine_size_h"}


@dataclass(frozen=True)
class Trained:
    """weights: of one generator, under our names. options: those of ``TOLD`` that are known. where: for messages."""

    weights: Mapping[str, Tensor]
    options: Mapping[str, Any]
    where: str
    card: Mapping[str, Any] = field(default_factory=dict)


def read_trained(path: Path, to: str, epoch: str = "latest") -> Trained:
    """The generator that translates to domain ``to`` ("a" or "b", as the folders of the data set are called).

    Raises ``InputError`` naming what is missing or wrong and what is there instead.
    """
    if path.is_dir():
        path = _in_folder(path, epoch)
    if path.suffix == ".safetensors":
        return _exported(path, to)
    if PUBLISHED.fullmatch(path.name):
        return _published(path, to)
    content = read_tensors(path)
    if isinstance(content, Mapping) and isinstance(content.get("networks"), Mapping):
        return _checkpoint(path, content, to)
    return Trained(_renamed(state_dict(content, str(path)), str(path)), {}, str(path))


def source_of(to: str, options: Mapping[str, Any]) -> str:
    """The network's letter of the domain that is translated: a run with --direction BtoA exchanged the domains."""
    exchanged = options.get("direction") == "BtoA"
    return "A" if (to == "b") != exchanged else "B"


def _in_folder(folder: Path, epoch: str) -> Path:
    """The file of a folder that is meant: a checkpoint of a run, or published weights, or the one exported model."""
    checkpoint = folder / f"{epoch}.pth"
    if checkpoint.is_file():
        return checkpoint
    published = sorted(path for path in folder.glob("*.pth") if PUBLISHED.fullmatch(path.name))
    for path in published:
        if path.name.startswith(f"{epoch}_net_G_"):
            return path
    exported = sorted(folder.glob("*.safetensors"))
    if len(exported) == 1 and not list(folder.glob("*.pth")):
        return exported[0]
    there = sorted(path.name for path in (*folder.glob("*.pth"), *exported))
    found = f"there are: {', '.join(there[:20])}" if there else "it holds no checkpoint at all"
    raise InputError(f"{folder} has no checkpoint {epoch!r}; {found}")


def _checkpoint(path: Path, content: Mapping[str, Any], to: str) -> Trained:
    """A checkpoint of train.py; older ones leave it to the options.yaml beside them to tell of the networks."""
    told = content.get("options") or read_options(path.with_name(OPTIONS))
    options = _checked(told, str(path))
    name = f"G_{source_of(to, options)}"
    if name not in content["networks"]:
        raise InputError(f"{path} has no generator {name}; it is not of insta_gan or cycle_gan")
    weights = detached(state_dict(content["networks"][name], str(path)))
    progress = content.get("progress")
    card = {"progress": dict(progress)} if isinstance(progress, Mapping) else {}
    return Trained(weights, options, str(path), card)


def _exported(path: Path, to: str) -> Trained:
    card = read_card(path)
    options = _checked(card.get("options") or {}, str(path))
    weights = read_exported(path, f"G_{source_of(to, options)}")
    if not weights:
        raise InputError(
            f"{path} was exported without the direction to {to!r}; export the model with --to {to} or both"
        )
    return Trained(detached(weights), options, str(path), card)


def published_networks(folder: Path, epoch: str) -> dict[str, dict[str, Tensor]]:
    """All networks of a folder of published weights under our names, such as "G_A"; empty if it holds none."""
    files = {name: folder / f"{epoch}_net_{name}.pth" for name in NETWORKS}
    return {
        name: _renamed(state_dict(read_tensors(file), str(file)), str(file))
        for name, file in files.items()
        if file.is_file()
    }


def published_options(folder: Path) -> dict[str, Any]:
    """What shapes the generators of a folder of published weights, as options of a run; empty if it holds none."""
    files = sorted(path for path in folder.glob("*_net_G_[AB].pth") if PUBLISHED.fullmatch(path.name))
    if not files:
        return {}
    told = _checked(read_published_options(folder / PUBLISHED_OPTIONS), str(folder))
    weights = _renamed(state_dict(read_tensors(files[0]), str(files[0])), str(files[0]))
    seen = Architecture.of(weights, str(told.get("norm", "instance")), str(files[0]))
    return {**told, **seen.options()}


def _published(path: Path, to: str) -> Trained:
    """The published file of the asked direction: ``path`` or its twin. opt.txt, where there is one, tells the rest."""
    options = _checked(read_published_options(path.with_name(PUBLISHED_OPTIONS)), str(path))
    found = PUBLISHED.fullmatch(path.name)
    assert found is not None
    file = path.with_name(f"{found['epoch']}_net_G_{source_of(to, options)}.pth")
    if not file.is_file():
        raise InputError(f"{path} translates the other way; for the direction to {to!r} put {file.name} beside it")
    return Trained(_renamed(state_dict(read_tensors(file), str(file)), str(file)), options, str(file))


def _renamed(weights: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Weights of one network without any name of a network before them: published, or ours already."""
    ours = any(name.startswith(("image_encoder.", "encoder.1.")) for name in weights)
    return detached(weights if ours else from_published(weights, where))


def _checked(options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What is told of ``TOLD``. Raises ``InputError`` for a method that translates otherwise."""
    if not isinstance(options, Mapping):
        raise InputError(f"{where} has a {type(options).__name__} for its options; load another checkpoint")
    for name in TOLD:
        value = options.get(name)
        fits = isinstance(value, KINDS.get(name, str))
        if value is not None and (not fits or (isinstance(value, int) and name in LEAST_ONE and value < 1)):
            raise InputError(f"{where} was trained with --{name} {value!r}, which cannot be; load another checkpoint")
    method = options.get("model", METHODS[0])
    if method not in METHODS:
        raise InputError(
            f"{where} was trained with --model {method}; only {', '.join(METHODS)} can be used without its program"
        )
    return {name: options[name] for name in TOLD if options.get(name) is not None}


def read_options(path: Path) -> dict[str, Any]:
    """Those of ``TOLD`` in a run's options.yaml; nothing without the file."""
    try:
        options = flat_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); fix or remove the file") from None
    return {name: options[name] for name in TOLD if name in options}


def read_published_options(path: Path) -> dict[str, Any]:
    """Those of ``TOLD`` in the published system's opt.txt; nothing without the file."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    options: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition("[default")[0].strip().partition(":")
        name, text = PUBLISHED_SPELLING.get(name, name), value.strip()
        if name in TOLD:
            whole = text.isascii() and text.isdecimal() and len(text) < 10
            options[name] = int(text) if whole else {"True": True, "False": False}.get(text, text)
    return options
