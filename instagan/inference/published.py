"""The parameter names of the published system, there and back, and what a generator's weights tell by their names.

Set networks  encoder_img.1.weight             <-> image_encoder.1.weight, and so on; in discriminators weight_bar,
                                                   weight_u and weight_v <-> torch's spectral norm parametrization
CycleGAN's    model.<place in one sequence>    <-> encoder. and decoder.; in discriminators features. and classifier.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from instagan.errors import InputError
from instagan.inference.registry import Description
from instagan.io.options_file import INFERENCE_OPTIONS
from instagan.structures.directions import A_TO_B, B_TO_A, exchanged

State = Mapping[str, Tensor]

STACKS = {
    "encoder_img": "image_encoder",
    "encoder_seg": "mask_encoder",
    "decoder_img": "image_decoder",
    "decoder_seg": "mask_decoder",
    "feature_img": "image_features",
    "feature_seg": "mask_features",
    "classifier": "classifier",
}
"""Published name of a stack of layers in a set network -> ours."""

PARAMETERS = {
    "module.bias": "bias",
    "module.weight_bar": "parametrizations.weight.original",
    "module.weight_u": "parametrizations.weight.0._u",
    "module.weight_v": "parametrizations.weight.0._v",
}
"""Published names within a spectrally normalised convolution -> ours."""

NOT_WEIGHTS = ("running_mean", "running_var", "num_batches_tracked")
"""Kept by the instance norm of old versions of torch, and read by none."""

PUBLISHED_SPELLING = {"fineSizeW": "fine_size_w", "fineSizeH": "fine_size_h"}
DEFAULT_INS_PER = 2
"""Instances translated at a time where a model does not tell how it was trained."""

STEM = 10
"""Layers of CycleGAN's generator before its first residual block."""


def described(weights: Mapping[str, State], options: Mapping[str, Any], where: str) -> list[Description]:
    """The directions of generators by name ("G_A"), for files that do not tell them: published ones and old ones.

    weights: under our names. options: those of the run that are known. Raises ``InputError`` naming ``where``.
    """
    found = []
    for networks in (A_TO_B, B_TO_A):
        if (name := f"G_{networks.source}") in weights:
            kind, config = _seen(weights[name], where)
            config["norm"] = str(options.get("norm", "instance"))
            needs = ("masks",) if kind == "set" or config.get("with_union") else ()
            ins_per = int(options.get("ins_per", DEFAULT_INS_PER)) if kind == "set" else None
            order = str(options.get("set_order", "decreasing"))
            folders = exchanged(networks, str(options.get("direction", "AtoB")))
            found.append(Description(*folders, {"": name}, kind, config, needs, ins_per, order))
    return found


def _seen(weights: State, where: str) -> tuple[str, dict[str, Any]]:
    """Kind and sizes of a generator. The normalisation cannot be seen: it has no weights."""
    encoder = "image_encoder" if "image_encoder.1.weight" in weights else "encoder"
    stem = weights.get(f"{encoder}.1.weight")
    if stem is None or stem.ndim != 4 or stem.shape[1] not in (3, 4):
        raise InputError(
            f"{where} holds no generator of insta_gan or cycle_gan; pass a model that one of them has trained"
        )
    blocks = {name.split(".")[1] for name in weights if name.startswith(f"{encoder}.") and ".layers." in name}
    config: dict[str, Any] = {"ngf": stem.shape[0], "blocks": len(blocks)}
    if encoder == "image_encoder":
        return "set", config
    return "resnet", {**config, "with_union": stem.shape[1] == 4}


def run_options(description: Description) -> dict[str, Any]:
    """What a generator says of the options of a run that has it."""
    config = description.config
    told = {name: config[name] for name in ("ngf", "norm") if name in config}
    if description.kind == "set":
        return {"model": "insta_gan", **told, "netG": "set", "netG_blocks": config["blocks"]}
    if description.kind == "resnet":
        blocks = {"netG": f"resnet_{config['blocks']}blocks", "with_masks": config["with_union"]}
        return {"model": "cycle_gan", **told, **blocks}
    return told


def read_published_options(path: Path) -> dict[str, Any]:
    """Those of ``INFERENCE_OPTIONS`` in the published system's opt.txt; nothing without the file."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    options: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition("[default")[0].strip().partition(":")
        name, text = PUBLISHED_SPELLING.get(name, name), value.strip()
        if name in INFERENCE_OPTIONS:
            whole = text.isascii() and text.isdecimal() and len(text) < 10
            options[name] = int(text) if whole else {"True": True, "False": False}.get(text, text)
    return options


def from_published(state: State, where: str) -> dict[str, Tensor]:
    """The parameters of one network under our names; ``module.`` of DataParallel may stand before all of them.

    Raises ``InputError`` naming ``where`` if the names are those of no network that there is here.
    """
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    state = {name: tensor for name, tensor in state.items() if not name.endswith(NOT_WEIGHTS)}
    renamed: Mapping[str, str | None]
    if any(name.startswith("model.") for name in state):
        renamed = _chain_to_ours(list(state))
    else:
        renamed = {name: _set_to_ours(name) for name in state}
    unknown = [name for name in state if renamed.get(name) is None]
    if unknown or not state:
        found = f"it holds {unknown[0]!r}" if unknown else "it holds nothing"
        raise InputError(
            f"{where} holds no published generator or discriminator of InstaGAN or CycleGAN ({found}); "
            "pass a file such as latest_net_G_A.pth"
        )
    return {str(renamed[name]): tensor for name, tensor in state.items()}


def to_published(state: State) -> dict[str, Tensor]:
    """The parameters of one of our networks under their published names. Raises ``ValueError`` for another network."""
    names = list(state)
    renamed: Mapping[str, str | None]
    if any(name.startswith(("encoder.", "features.")) for name in names):
        renamed = _chain_to_published(names)
    else:
        renamed = {name: _set_to_published(name) for name in names}
    unknown = [name for name in names if renamed.get(name) is None]
    if unknown:
        raise ValueError(f"{unknown[0]!r} has no published name")
    return {str(renamed[name]): state[name] for name in names}


def _set_to_ours(name: str) -> str | None:
    stack, _, rest = name.partition(".")
    if stack not in STACKS:
        return None
    place, _, parameter = rest.partition(".")
    parameter = PARAMETERS.get(parameter, parameter.replace("conv_block.", "layers."))
    return f"{STACKS[stack]}.{place}.{parameter}"


def _set_to_published(name: str) -> str | None:
    stack, _, rest = name.partition(".")
    published = {ours: theirs for theirs, ours in STACKS.items()}
    if stack not in published:
        return None
    place, _, parameter = rest.partition(".")
    if published[stack] in ("feature_img", "feature_seg", "classifier"):
        parameter = {ours: theirs for theirs, ours in PARAMETERS.items()}.get(parameter, parameter)
    return f"{published[stack]}.{place}.{parameter.replace('layers.', 'conv_block.')}"


def _chain_to_ours(names: list[str]) -> dict[str, str]:
    """CycleGAN's sequence, cut in two where the residual blocks, or the stride-2 convolutions, end."""
    places = [int(found[1]) for name in names if (found := re.match(r"model\.(\d+)\.", name))]
    if "model.0.weight" in names:
        (first, second), cut = ("features", "classifier"), max(places) - 3
    else:
        blocks = {name.split(".")[1] for name in names if ".conv_block." in name}
        (first, second), cut = ("encoder", "decoder"), STEM + len(blocks)
    renamed = {}
    for name in names:
        found = re.fullmatch(r"model\.(\d+)\.(?:conv_block\.(\d)\.)?(weight|bias)", name)
        if found:
            place, layer, parameter = int(found[1]), found[2], found[3]
            stack, place = (first, place) if place < cut else (second, place - cut)
            # a dropout layer, which is idle when translating, moves the second convolution one place on
            within = f"layers.{'5' if layer == '6' else layer}." if layer else ""
            renamed[name] = f"{stack}.{place}.{within}{parameter}"
    return renamed


def _chain_to_published(names: list[str]) -> dict[str, str]:
    first = names[0].partition(".")[0]
    places = [int(name.split(".")[1]) for name in names if name.startswith(f"{first}.")]
    cut = max(places) + (1 if first == "encoder" else 3)  # after the last convolution of features: norm, activation
    renamed = {}
    for name in names:
        stack, place, parameter = name.split(".", 2)
        if stack in (first, {"encoder": "decoder", "features": "classifier"}[first]):
            moved = int(place) + (0 if stack == first else cut)
            renamed[name] = f"model.{moved}.{parameter.replace('layers.', 'conv_block.')}"
    return renamed
