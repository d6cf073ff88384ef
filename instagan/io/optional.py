"""Packages that only some uses need, imported when they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from instagan.errors import InputError


def need(module: str, package: str, purpose: str) -> ModuleType:
    """The module. Raises ``InputError`` with the pip command where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = f"{package} is not installed" if isinstance(error, ModuleNotFoundError) else f"{package}: {error}"
        raise InputError(f"{purpose} needs a package: {missing}; run: pip install {package}") from None
