"""Files of tensors -> tensors, never running code from them. Every failure names the file."""

from __future__ import annotations

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from instagan.errors import InputError
from instagan.io.sealed import fault
from instagan.io.writing import write_whole

CARD = "instagan"
"""The entry of a safetensors file's header that holds the model card."""


def read_tensors(path: Path) -> Any:
    """What torch saved, of tensors and plain containers, zip or not; large tensors are read when they are touched.

    Raises ``InputError``: for a file that is not there, that is no checkpoint, or that holds anything else.
    """
    zipped = _is_zip(path)
    try:
        if zipped and (wrong := fault(path, strict=False)):
            raise InputError(f"{path} is damaged or not a checkpoint ({wrong}); pass another file")
        return _read(path, mmap=zipped)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; pass a run folder, a checkpoint or an exported model") from None
    except _MoreThanTensorsError as error:
        raise InputError(f"{path} {error}; pass a file made by torch.save(network.state_dict(), file)") from None
    except (OSError, _UnreadableError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} is damaged or not a checkpoint ({reason}); pass another file") from None


def read_checkpoint(path: Path) -> Any:
    """What ``save_sealed`` wrote, all of it in memory. Raises ``InputError``, ``FileNotFoundError``."""
    try:
        if wrong := fault(path):
            raise _UnreadableError(wrong)
        return _read(path, mmap=False)
    except FileNotFoundError:
        raise
    except _MoreThanTensorsError as error:
        raise InputError(f"{path} {error}; load another with --epoch") from None
    except (OSError, _UnreadableError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} is damaged or not a checkpoint ({reason}); load another with --epoch") from None


def translating_networks(state: Mapping[str, Any]) -> dict[str, Any]:
    """The networks of a checkpoint, by name, with the weights that translate: averages where it holds some."""
    averages = state.get("averages")
    averaged = averages.get("networks") if isinstance(averages, Mapping) else None
    return {**state["networks"], **(averaged if isinstance(averaged, Mapping) else {})}


def glance(path: Path) -> Any:
    """As ``read_checkpoint``, but tensors are not looked at and may be damaged."""
    try:
        if wrong := fault(path, content=False):
            raise _UnreadableError(wrong)
        return _read(path, mmap=True)
    except _UnreadableError as error:
        raise InputError(f"{path} is damaged ({error})") from None


NOT_TORCH = "torch did not save it, or it holds more than tensors"


class _UnreadableError(Exception):
    """Tells why, in a few words."""


class _MoreThanTensorsError(_UnreadableError):
    """Tells what there is that could run a program."""


def _read(path: Path, mmap: bool) -> Any:
    """Raises ``OSError``, ``_UnreadableError``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the old format is told in old types of storage
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except OSError:
        raise
    except Exception as error:  # reading a damaged pickle can raise anything
        message = str(error)
        asked = re.search(r"GLOBAL ([\w.]+)", message)
        if isinstance(error, pickle.UnpicklingError) and asked:
            raise _MoreThanTensorsError(
                f"holds more than tensors ({asked[1]}) and was not loaded, since that could run any program"
            ) from None
        if isinstance(error, pickle.UnpicklingError) or not _is_zip(path):
            raise _UnreadableError(NOT_TORCH) from None  # what torch says of a first byte helps nobody
        raise _UnreadableError(
            message.strip().partition("\n")[0].partition(". ")[0][:100] or type(error).__name__
        ) from None


@contextmanager
def fitting(flag: str, network: str) -> Iterator[None]:
    """Whatever goes wrong while weights from outside are read into a network is an ``InputError`` naming the flag."""
    try:
        yield
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
        reason = (str(error).strip() or type(error).__name__).partition("\n")[0][:120]
        raise InputError(f"{flag} does not fit {network} ({reason}); pass its state dict as torch saves it") from None


def state_dict(content: Any, where: str) -> dict[str, Tensor]:
    """``content`` if it holds tensors by name and nothing else; else raises ``InputError`` naming ``where``."""
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{where} holds no weights by name but a {type(content).__name__}; pass a state dict")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise InputError(
                f"{where} holds {str(name)[:60]!r}, a {type(value).__name__}, among its weights; pass a state dict"
            )
        if not _is_whole(value):
            raise InputError(f"{where} holds {name[:60]!r}, which is no plain tensor; pass a state dict")
    return dict(content)


def _is_whole(tensor: Tensor) -> bool:
    """Whether all of its numbers are there: a few bytes of a file can stand for any number of equal ones."""
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_complex() or tensor.is_quantized:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def detached(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in float32 that hold no file open; whole numbers stay what they are."""
    return {
        name: tensor.detach().to(torch.float32, copy=True) if tensor.is_floating_point() else tensor.detach().clone()
        for name, tensor in weights.items()
    }


def read_card(path: Path) -> dict[str, Any]:
    """The model card in the header of a safetensors file. Raises ``InputError``."""
    safetensors = _safetensors()
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            card = json.loads((file.metadata() or {})[CARD])
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; pass the file that scripts/export.py wrote") from None
    except KeyError:
        card = None
    except Exception as error:
        raise InputError(f"{path} is damaged or no safetensors file ({error}); export the model again") from None
    if not isinstance(card, dict):
        raise InputError(f"{path} has no model card in its header; export the model with scripts/export.py")
    return card


def read_exported(path: Path, network: str) -> dict[str, Tensor]:
    """The weights of one network ("G_A") of a safetensors file; empty if it has none of that name."""
    prefix = f"{network}."
    with _safetensors().safe_open(str(path), "pt") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118  (it is no dictionary)
        return {name.removeprefix(prefix): file.get_tensor(name) for name in names}


def write_exported(path: Path, networks: Mapping[str, Mapping[str, Tensor]], card: Mapping[str, Any]) -> None:
    """Networks by name ("G_A") and the model card as one safetensors file, whole or not at all."""
    _safetensors()
    from safetensors.torch import save_file

    tensors = {
        f"{name}.{key}": tensor.contiguous() for name, weights in networks.items() for key, tensor in weights.items()
    }
    metadata = {"format": "pt", CARD: json.dumps(card)}
    write_whole(path, lambda scratch: save_file(tensors, str(scratch), metadata))


def _safetensors() -> ModuleType:
    try:
        import safetensors
    except ImportError:
        raise InputError("exported models need the package safetensors; run: pip install safetensors") from None
    return safetensors


def _is_zip(path: Path) -> bool:
    """Also a damaged one, about whose end zipfile raises instead of answering: torch may take it for whole."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True
