"""A trained model, however it is kept -> the weights of the generator of one direction, and how it is used.

run folder          checkpoints/NAME/: options.yaml, latest.pth, 5.pth      as train.py writes it
checkpoint file     latest.pth, alone or in its folder
exported model      NAME.safetensors                                        as scripts/export.py writes it
published weights   latest_net_G_A.pth, or the folder of them               as the published system writes them
"""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from instagan.errors import InputError
from instagan.flag_types import levels
from instagan.inference.published import described, from_published, read_published_options, run_options
from instagan.inference.registry import Description, direction_to
from instagan.io.formats import kind_of_file
from instagan.io.options_file import INFERENCE_OPTIONS, OPTIONS, inference_options
from instagan.io.tensor_files import detached, read_card, read_exported, read_tensors, state_dict, translating_networks
from instagan.structures.directions import A_TO_B, B_TO_A, Direction, exchanged
from instagan.structures.one_way import OneWayTranslator

LEAST_ONE = ("ngf", "ins_per", "fine_size_w", "fine_size_h", "input_nc", "output_nc")
TEXTS: Mapping[str, Callable[[str], str]] = {
    **dict.fromkeys(("input_range", "output_range"), levels),
    **dict.fromkeys(("input_kind", "output_kind"), kind_of_file),
}
"""Those that are words of a form of their own."""
KINDS: Mapping[str, type] = {"with_masks": bool, "instance_crops": bool, **dict.fromkeys(LEAST_ONE, int)}
"""What the values of those are that are no words."""

METHODS = ("insta_gan", "cycle_gan", "cycle_gan_seg")
"""Those of checkpoints that do not tell how to translate."""
NETWORKS = ("G_A", "G_B", "D_A", "D_B")
PUBLISHED = re.compile(r"(?P<epoch>.+)_net_G_(?P<source>[AB])\.pth")
PUBLISHED_OPTIONS = "opt.txt"
GRAPHS = (".onnx", ".pt2")


class OwnMethodError(InputError):
    """A checkpoint's method is known to its own program alone."""


@dataclass(frozen=True)
class Trained:
    """weights: of one generator, under our names. options: those of ``INFERENCE_OPTIONS`` that are known.

    where: for messages.
    """

    description: Description
    weights: Mapping[str, Tensor]
    options: Mapping[str, Any]
    where: str
    card: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> OneWayTranslator:
        """Raises ``InputError`` where the weights do not fit what is told of them."""
        return self.description.build(self.weights, self.where)


def read_trained(path: Path, to: str | None = None, epoch: str = "latest") -> Trained:
    """The generator that translates to domain ``to`` ("a" or "b", as the folders of the data set are called).

    to None: to b, or to a where a model translates that way only. Raises ``InputError`` naming what is missing or
    wrong and what is there instead.
    """
    if path.is_dir():
        path = _in_folder(path, epoch)
    if path.suffix == ".safetensors":
        return _exported(path, to)
    if path.suffix in GRAPHS and path.is_file():
        raise InputError(f"{path} is a graph for other programs; pass the run's folder, or export it as .safetensors")
    if PUBLISHED.fullmatch(path.name):
        return _published(path, to)
    content = read_tensors(path)
    if isinstance(content, Mapping) and isinstance(content.get("networks"), Mapping):
        return _checkpoint(path, content, to)
    return _alone(_renamed(state_dict(content, str(path)), str(path)), to, {}, path)


def read_directions(path: Path, epoch: str = "latest") -> dict[str, Trained]:
    """Every direction that a model has, by the domain translated to, a first. Raises ``InputError`` if it has none."""
    found: dict[str, Trained] = {}
    for to in ("b", "a"):
        try:
            found = {to: read_trained(path, to, epoch), **found}
        except InputError as error:
            reason = error
    if not found:
        raise reason
    return found


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


def _checkpoint(path: Path, content: Mapping[str, Any], to: str | None) -> Trained:
    """A checkpoint of train.py; older ones leave it to the options.yaml beside them to tell of the networks."""
    told = content.get("options") or inference_options(path.with_name(OPTIONS))
    options, networks = _checked(told, str(path)), translating_networks(content)
    there = _told(content, options, str(path))
    if there is None:
        generators = {name: networks[name] for name in ("G_A", "G_B") if isinstance(networks.get(name), Mapping)}
        if not generators:
            raise InputError(f"{path} has no generator G_A or G_B; it is not of insta_gan or cycle_gan")
        states = {name: state_dict(weights, str(path)) for name, weights in generators.items()}
        there = described(states, options, str(path))
    description = direction_to(to, there, str(path))
    names = description.parts.values()
    if missing := [name for name in names if name not in networks]:
        raise InputError(f"{path} is damaged (it has no network {missing[0]}); load another checkpoint")
    weights = detached(description.joined({name: state_dict(networks[name], str(path)) for name in names}))
    progress = content.get("progress")
    card = {"progress": dict(progress)} if isinstance(progress, Mapping) else {}
    return Trained(description, weights, options, str(path), card)


def _exported(path: Path, to: str | None) -> Trained:
    card = read_card(path)
    options = _checked(card.get("options") or {}, str(path))
    there = _told(card, options, str(path))
    if there is None:
        found = {name: read_exported(path, name) for name in ("G_A", "G_B")}
        there = described({name: weights for name, weights in found.items() if weights}, options, str(path))
    there = [one for one in there if to is None or one.target.lower() == to]
    if not there:
        raise InputError(
            f"{path} was exported without the direction to {to!r}; export the model with --to {to} or both"
        )
    description = direction_to(to, there, str(path))
    weights = description.joined({name: read_exported(path, name) for name in description.parts.values()})
    return Trained(description, detached(weights), options, str(path), card)


def _told(content: Mapping[str, Any], options: Mapping[str, Any], where: str) -> list[Description] | None:
    """What a checkpoint or card tells of its directions; None for an old one. Raises ``InputError``."""
    method, entries = options.get("model", METHODS[0]), content.get("translators")
    if entries is None and method in METHODS:
        return None
    if not entries:
        raise OwnMethodError(
            f"{where} was trained with --model {method}, which does not tell how to translate without its program; "
            "use the folder of its run, in the checkout that has the method"
        )
    if not isinstance(entries, list):
        raise InputError(f"{where} is damaged (it tells no directions); load another checkpoint")
    return [Description.read(entry, where) for entry in entries]


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
    (seen,) = described({"G_A": weights}, told, str(files[0]))
    seen.check(str(files[0]))
    return {**told, **run_options(seen)}


def _published(path: Path, to: str | None) -> Trained:
    """The published file of the asked direction: ``path`` or its twin. opt.txt, where there is one, tells the rest."""
    options = _checked(read_published_options(path.with_name(PUBLISHED_OPTIONS)), str(path))
    found = PUBLISHED.fullmatch(path.name)
    assert found is not None
    file = path.with_name(f"{found['epoch']}_net_G_{_letter(to or 'b', options)}.pth")
    if to is None and not file.is_file():
        to, file = "a", path
    if not file.is_file():
        raise InputError(f"{path} translates the other way; for the direction to {to!r} put {file.name} beside it")
    return _alone(_renamed(state_dict(read_tensors(file), str(file)), str(file)), to, options, file)


def _alone(weights: Mapping[str, Tensor], to: str | None, options: Mapping[str, Any], path: Path) -> Trained:
    """A file of one generator, which is taken for that of the asked direction."""
    (description,) = described({f"G_{_letter(to or 'b', options)}": weights}, options, str(path))
    return Trained(description, weights, options, str(path))


def _letter(to: str, options: Mapping[str, Any]) -> str:
    """The letter in the name of the generator that translates to this domain."""
    folders: Direction = A_TO_B if to == "b" else B_TO_A
    return exchanged(folders, str(options.get("direction", "AtoB"))).source


def _renamed(weights: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Weights of one network without any name of a network before them: published, or ours already."""
    ours = any(name.startswith(("image_encoder.", "encoder.1.")) for name in weights)
    return detached(weights if ours else from_published(weights, where))


def _checked(options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What is told of ``INFERENCE_OPTIONS``. Raises ``InputError`` for values that cannot be."""
    if not isinstance(options, Mapping):
        raise InputError(f"{where} has a {type(options).__name__} for its options; load another checkpoint")
    for name in INFERENCE_OPTIONS:
        value = options.get(name)
        fits = isinstance(value, KINDS.get(name, str))
        fits = fits and (not isinstance(value, str) or name not in TEXTS or _is_of(TEXTS[name], value))
        if value is not None and (not fits or (isinstance(value, int) and name in LEAST_ONE and value < 1)):
            raise InputError(f"{where} was trained with --{name} {value!r}, which cannot be; load another checkpoint")
    return {name: options[name] for name in INFERENCE_OPTIONS if options.get(name) is not None}


def _is_of(kind: Callable[[str], str], value: str) -> bool:
    try:
        return kind(value) == value
    except ArgumentTypeError:
        return False
