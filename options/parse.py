"""Command line (and ``--config`` file) -> checked options. Values are checked here once, and nowhere else."""

from __future__ import annotations

import difflib
import os
import re
from argparse import Namespace
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import configargparse

from data import DATASETS
from data.attributes import check_attribute
from engine.run_folder import BEST, LATEST, RunFolder
from engine.starts import OF_ONE_START
from instagan.errors import InputError, one_line
from instagan.inference.trained import published_options
from instagan.io.options_file import OPTIONS
from instagan.networks.blocks import SIZE_MULTIPLE
from models import MODELS
from models.translation_model import TranslationModel
from options import flags
from options.saved_options import FlatYaml, check_saved

REFUSED = {
    ("norm", "batch"): "rows of a batch, and instances of a picture, would depend on each other",
    ("netG", "unet_128"): "the networks here are the paper's residual ones",
    ("netG", "unet_256"): "the networks here are the paper's residual ones",
    ("netD", "pixel"): "it cannot see shapes, which is what instances are about",
    ("lr_policy", "plateau"): "it needs a validation figure to watch, and the published loop gives it none",
    ("model", "pix2pix"): "it needs paired pictures",
    ("model", "test"): "test.py reads the method from the run",
    ("dataset_mode", "aligned"): "it needs paired pictures",
    ("dataset_mode", "single"): "test.py can translate one domain with --direction AtoB",
}
"""Published values that do not exist here, and why."""

LONGEST_NAME = 255
"""Bytes of a file's name, on all common file systems."""
_UNTYPED = object()


@dataclass(frozen=True)
class Resolved:
    """The options of a run after all checks; ``changed`` names those that differ from their defaults."""

    values: Namespace
    changed: frozenset[str]

    def table(self) -> str:
        """One line per option, those that differ from their defaults marked."""
        width = max(len(name) for name in vars(self.values))
        return "\n".join(
            f"{'*' if name in self.changed else ' '} {name:>{width}}: {one_line(str(value))}"
            for name, value in sorted(vars(self.values).items())
        )


class _Parser(configargparse.ArgumentParser):
    """Reports a wrong command line as one sentence."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(
            config_file_parser_class=FlatYaml,
            allow_abbrev=False,
            usage="%(prog)s --dataroot DIR [--flag value ...]",
            formatter_class=configargparse.ArgumentDefaultsHelpFormatter,
            **arguments,
        )

    def error(self, message: str) -> NoReturn:
        found = re.match(r"argument [^:]*--(\w+): invalid choice: '([^']*)'", message)
        reason = REFUSED.get((found[1], found[2])) if found else None
        message = message.removeprefix("argument ").replace("\n", " ")
        raise InputError(f"{message}; {reason}" if reason else f"{message}; see --help")


def parse_training(argv: Sequence[str] | None = None) -> Resolved:
    """Options of train.py; with ``--continue_train`` the run's own ones stand in for what is not typed."""
    peeked = _peek(argv, training=True)
    if not peeked.continue_train or _run(peeked).is_bare():
        resolved, _ = _parse(argv, peeked.model, _mode(peeked), training=True, inherited={})
    else:
        trained = _trained(peeked, training=True)
        inherited = {name: value for name, value in trained.items() if name not in OF_ONE_START}
        mode = peeked.dataset_mode or trained["dataset_mode"]
        resolved, typed = _parse(argv, trained["model"], mode, training=True, inherited=inherited)
        check_agreement(trained, resolved.values, typed, also=("direction",))  # which network learns which way
    _check_training(resolved.values)
    return resolved


def parse_testing(argv: Sequence[str] | None = None) -> Resolved:
    """Options of test.py: the run's own, as saved by train.py, under those that are typed. Raises ``InputError``."""
    peeked = _peek(argv, training=False)
    trained = _trained(peeked, training=False)
    kept = {name: trained[name] for name in ("dataset_mode", "seed")} | whole_framing(trained)
    mode = peeked.dataset_mode or trained["dataset_mode"]
    inherited = _inherited(trained, trained["model"], mode) | kept
    resolved, typed = _parse(argv, trained["model"], mode, training=False, inherited=inherited)
    check_agreement(trained, resolved.values, typed)
    defaults = vars(_parser(trained["model"], mode, training=True).parse_args([]))
    options = Namespace(**{**defaults, **trained, **vars(resolved.values)})
    options.trained_direction = trained["direction"]
    return Resolved(options, resolved.changed)


def whole_framing(trained: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that bring an image to the networks of a run: as in training, but whole where images were resized.

    Images that were resized to a width, then cropped or not, keep this width and their proportions; where windows were
    cropped out of images as they are, these stay as they are.
    """
    fine = {f"fine_size_{side}": trained[f"fine_size_{side}"] for side in "wh"}
    if trained.get("instance_crops") and trained["resize_or_crop"] == "crop":
        return {"resize_or_crop": "none", **fine}
    if trained["resize_or_crop"].startswith("scale_width"):
        load = {f"load_size_{side}": trained[f"load_size_{side}"] for side in "wh"}
        return {"resize_or_crop": "scale_width", **load, **fine}
    load = {f"load_size_{side}": fine[f"fine_size_{side}"] for side in "wh"}
    return {"resize_or_crop": trained["resize_or_crop"], **load, **fine}


def architecture(method: str) -> tuple[str, ...]:
    """Names of all flags that shape the networks of a method."""
    return flags.ARCHITECTURE + MODELS[method].architecture


def check_agreement(
    trained: dict[str, Any], options: Namespace, typed: frozenset[str], also: tuple[str, ...] = ()
) -> None:
    """Raises ``InputError`` with both values of every typed flag that contradicts the networks of an earlier run.

    also: names of flags beside those that shape the networks.
    """
    names = [name for name in (*architecture(trained["model"]), *also) if name in typed]
    asked = {name: getattr(options, name, None) for name in names}
    wrong = {name: value for name, value in asked.items() if value != trained.get(name, value)}
    if wrong:
        contradicts, drop = ("contradicts", "the flag") if len(wrong) == 1 else ("contradict", "these flags")
        now, was = (", ".join(f"--{name} {of[name]}" for name in wrong) for of in (wrong, trained))
        raise InputError(f"{now} {contradicts} the run, which was trained with {was}; drop {drop}")


def _inherited(trained: dict[str, Any], method: str, mode: str) -> dict[str, Any]:
    """Saved values that are the defaults when translating: architecture, the method's own flags, the data set's."""
    parser = _Parser(add_help=False)
    MODELS[method].add_options(parser, training=False)
    own = set(vars(parser.parse_args([]))) - set(MODELS[method].not_inherited)
    own |= {*architecture(method), *DATASETS[mode].inherited}
    return {name: value for name, value in trained.items() if name in own}


def _trained(peeked: Namespace, training: bool) -> dict[str, Any]:
    """The saved options of the run that the command line names; defaults where published weights tell nothing."""
    folder = _run(peeked)
    published = {} if (folder.path / OPTIONS).exists() else published_options(folder.path)
    if not published:
        saved = folder.read_options()
        known = saved["model"] in tuple(MODELS) and saved["dataset_mode"] in tuple(DATASETS)
        parser = _parser(*(saved[name] if known else "" for name in ("model", "dataset_mode")), training=True)
        check_saved(saved, parser, folder.path / "options.yaml")
        return saved
    if training:
        raise InputError(
            "published weights alone cannot be trained on; make a run of them first with scripts/convert_checkpoint.py"
        )
    fresh = vars(_parser(published["model"], "", training=True).parse_args([]))
    told = Namespace(**{**fresh, **published})
    return {**vars(told), "dataset_mode": MODELS[told.model].dataset_mode(told)}


def _run(peeked: Namespace) -> RunFolder:
    return RunFolder(Path(peeked.checkpoints_dir), _suffixed(peeked))


def _peek(argv: Sequence[str] | None, training: bool) -> Namespace:
    """A first look: which method, which data set, which run. Nothing is checked but what argparse checks by itself."""
    first = _Parser(add_help=False)
    first.add_argument("--config", is_config_file=True)
    first.add_argument("--model", default="insta_gan")
    method = first.parse_known_args(argv)[0].model
    peeked = _parser(method, "", training, add_help=False).parse_known_args(argv)[0]
    return _parser(method, _mode(peeked), training).parse_known_args(argv)[0]


def _mode(options: Namespace) -> str:
    """The data set that is typed, or else the method's."""
    return options.dataset_mode or MODELS[options.model].dataset_mode(options)


def _parser(method: str, mode: str, training: bool, add_help: bool = True) -> _Parser:
    """All flags of a program with a method and a data set; without the data set's own where ``mode`` is empty."""
    description = "Train a translation model." if training else "Translate with a trained model."
    parser = _Parser(description=description, add_help=add_help)
    flags.add_common(parser)
    (flags.add_training if training else flags.add_testing)(parser)
    if mode:
        DATASETS[mode].add_options(parser)
    if method in MODELS:  # else the parser complains about --model
        MODELS[method].add_options(parser, training)
    return parser


def _parse(
    argv: Sequence[str] | None, method: str, mode: str, training: bool, inherited: dict[str, Any]
) -> tuple[Resolved, frozenset[str]]:
    """Options and the names of those that were typed."""
    parser = _parser(method, mode, training)
    inherited = {action.dest: inherited[action.dest] for action in parser._actions if action.dest in inherited}
    parser.set_defaults(**inherited)
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        raise InputError(_unknown(unknown, parser))
    parser.set_defaults(**dict.fromkeys(set(vars(options)) - {"config"}, _UNTYPED))
    typed = frozenset(name for name, value in vars(parser.parse_known_args(argv)[0]).items() if value is not _UNTYPED)
    _resolve(options, typed)
    MODELS[method].fill_in(options)
    fresh = _parser(method, mode, training)
    changed = {
        name for name in typed | set(flags.SIZES) | set(inherited) if vars(options).get(name) != fresh.get_default(name)
    }
    return Resolved(options, frozenset(changed) - {"config", "continue_train", "load_size", "fine_size"}), typed


def _unknown(unknown: list[str], parser: _Parser) -> str:
    flag = next((word for word in unknown if word.startswith("--")), unknown[0]).partition("=")[0]
    for mode, source in DATASETS.items():
        others = _Parser(add_help=False)
        source.add_options(others)
        if flag in others._option_string_actions:
            return f"{flag} belongs to --dataset_mode {mode}; add that or drop {flag}"
    methods = [name for name, method in MODELS.items() if flag in _own_flags(method)]
    if methods:  # of others
        return f"{flag} belongs to --model {', '.join(methods)}; use one of them or drop {flag}"
    known = [spelling.lstrip("-") for action in parser._actions for spelling in action.option_strings]
    near = difflib.get_close_matches(flag.lstrip("-"), known, 1)
    return f"unknown flag {flag}" + (f"; did you mean --{near[0]}?" if near else "; see --help")


def _own_flags(method: type[TranslationModel]) -> Collection[str]:
    """Spellings of a method's own flags of training."""
    parser = _Parser(add_help=False)
    method.add_options(parser, training=True)
    return parser._option_string_actions


def _resolve(options: Namespace, typed: frozenset[str]) -> None:
    """Fills in what follows from other values, and checks what train.py and test.py have in common."""
    for kind in ("load_size", "fine_size"):
        for side in "wh":
            if getattr(options, kind) is not None and f"{kind}_{side}" not in typed:
                setattr(options, f"{kind}_{side}", getattr(options, kind))
        delattr(options, kind)
    options.name, options.suffix = _suffixed(options), ""
    options.dataset_mode = _mode(options)
    MODELS[options.model].check_channels(options)
    if getattr(options, "instance_crops", False):
        _resolve_crops(options, typed)
    _check_sizes(options)
    if options.epoch not in (LATEST, BEST) and not options.epoch.isdecimal():
        raise InputError(f"--epoch {options.epoch}: pass the number of an epoch, {LATEST} or {BEST}")
    DATASETS[options.dataset_mode].check(options)
    if "/" in options.phase or "\\" in options.phase:
        raise InputError(f"--phase {options.phase} must be the beginning of folder names, such as train")


def _resolve_crops(options: Namespace, typed: frozenset[str]) -> None:
    """Fills in what --instance_crops asks for where it is not given. Raises ``InputError`` where it cannot be."""
    method = MODELS[options.model]
    if "masks" not in method.takes or method.dataset_mode(options) != "unaligned_seg":
        raise InputError(f"--instance_crops: --model {options.model} does not translate instances by masks; drop it")
    if (options.input_nc, options.output_nc) != (3, 3):
        raise InputError("--instance_crops works on RGB images; drop it, or --input_nc and --output_nc")
    if "resize_or_crop" not in typed and options.resize_or_crop == "resize_and_crop":
        options.resize_or_crop = "crop"
    if options.resize_or_crop not in ("crop", "scale_width_and_crop"):
        raise InputError(
            f"--instance_crops does not go with --resize_or_crop {options.resize_or_crop}; use crop (images as they "
            "are) or scale_width_and_crop"
        )
    if options.box_least_share is None:
        options.box_least_share = flags.LEAST_SHARE


def _suffixed(options: Namespace) -> str:
    """The run's name with its suffix filled in. Published spellings of sizes work in the suffix, too."""
    values = vars(options)
    values = values | {"loadSizeW": values.get("load_size_w"), "loadSizeH": values.get("load_size_h")}
    values = values | {"fineSizeW": values.get("fine_size_w"), "fineSizeH": values.get("fine_size_h")}
    try:
        if re.search(r"\{[^}]*\d{4}", options.suffix):  # a width; a name of gigabytes otherwise
            raise ValueError("a name has no room for that")
        suffix = options.suffix.format_map(values)
    except KeyError as error:
        raise InputError(f"--suffix {options.suffix}: there is no flag {error.args[0]}") from None
    except (ValueError, AttributeError, LookupError) as error:
        raise InputError(f"--suffix {options.suffix} cannot be filled in ({error}); write {{flag}}") from None
    name = options.name + (f"_{suffix}" if suffix else "")
    parts = Path(name.strip()).parts
    if not parts or ".." in parts or name.startswith(("/", "~")) or not name.isprintable():
        raise InputError(f"--name {name!r} must be the name of a folder inside --checkpoints_dir")
    if max(len(os.fsencode(part)) for part in parts) > LONGEST_NAME:
        raise InputError(f"--name {name!r} is longer than the {LONGEST_NAME} bytes of a folder's name; shorten it")
    return name


def _check_sizes(options: Namespace) -> None:
    for side in "wh":
        load, fine = getattr(options, f"load_size_{side}"), getattr(options, f"fine_size_{side}")
        if options.resize_or_crop.endswith("crop") and (fine % SIZE_MULTIPLE or fine < 2 * SIZE_MULTIPLE):
            raise InputError(
                f"--fine_size_{side} {fine} must be a multiple of {SIZE_MULTIPLE}, and {2 * SIZE_MULTIPLE} or more"
            )
        if options.resize_or_crop == "resize_and_crop" and load < fine:
            raise InputError(f"--fine_size_{side} {fine} does not fit into --load_size_{side} {load}; make it smaller")
    if options.batch_size > 1 and not options.resize_or_crop.endswith("crop"):
        raise InputError(
            f"--batch_size {options.batch_size} needs images of one size, which --resize_or_crop "
            f"{options.resize_or_crop} does not give; use --batch_size 1 or a mode that ends in crop"
        )


def _check_training(options: Namespace) -> None:
    low, reason = MODELS[options.model].smallest_side(options)
    for side in "wh":
        fine = getattr(options, f"fine_size_{side}")
        if options.resize_or_crop.endswith("crop") and fine < low:
            enough = -(-low // SIZE_MULTIPLE) * SIZE_MULTIPLE
            raise InputError(f"--fine_size_{side} {fine} is too small for {reason}: use {enough} or more")
    if options.mask_noise and MODELS[options.model].dataset_mode(options) != "unaligned_seg":
        raise InputError(f"--mask_noise: --model {options.model} learns from no masks; drop it")
    check_attribute(options)
    if options.niter + options.niter_decay < 1:
        raise InputError("--niter 0 and --niter_decay 0 leave no epoch to train; raise one of them")
    last = options.niter + options.niter_decay
    if options.epoch_count > last:
        raise InputError(
            f"--epoch_count {options.epoch_count} is after the last epoch, {last} (--niter and --niter_decay "
            "together); lower it or raise them"
        )
