"""``options.yaml`` of a run: one flat list of names and plain values, and nothing that yaml can do beyond."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from instagan.errors import InputError
from instagan.io.optional import need

OPTIONS = "options.yaml"
INFERENCE_OPTIONS = (
    "model",
    "ngf",
    "norm",
    "netG",
    "upsample",
    "with_masks",
    "direction",
    "ins_per",
    "set_order",
    "fine_size_w",
    "fine_size_h",
    "instance_crops",
    "input_nc",
    "output_nc",
    "input_range",
    "output_range",
    "input_kind",
    "output_kind",
)
"""Names of the options that a checkpoint keeps of its run's: what it was, and at which size it was trained."""
PLAIN = (str, int, float, bool, type(None))


def flat_yaml(text: str) -> dict[str, Any]:
    """Name -> plain value, or list of plain values. Raises ``ValueError``, whatever else the text is.

    Lists within lists are refused: a few lines of yaml can stand for any number of them.
    """
    yaml = need("yaml", "PyYAML", OPTIONS)
    try:
        content = yaml.safe_load(text)
    except Exception as error:  # values of a kind that they are not (2001-99-99) raise what their kind raises
        raise ValueError(f"it is no yaml ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(content, dict):
        raise ValueError("it is no list of names and values, such as niter: 100")
    for name, value in content.items():
        many = isinstance(value, list) and all(isinstance(one, PLAIN) for one in value)
        if not isinstance(name, str) or not (isinstance(value, PLAIN) or many):
            raise ValueError(f"what it holds under {str(name)[:60]!r} is no plain value")
    return content


def inference_options(path: Path) -> dict[str, Any]:
    """Those of ``INFERENCE_OPTIONS`` in a run's options.yaml; nothing without the file. Raises ``InputError``."""
    try:
        options = flat_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); fix or remove the file") from None
    return {name: options[name] for name in INFERENCE_OPTIONS if name in options}


def options_of(folder: Path) -> dict[str, Any]:
    """The options of the run in a folder; nothing where they cannot be read."""
    try:
        return flat_yaml((folder / OPTIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
