"""The ways to find pictures and masks. Adding one is a function in a file of its own and a line here."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from data.folders import Entry, list_domain

DATASETS: dict[str, Callable[[Path, str, str], list[Entry]]] = {
    "unaligned_seg": partial(list_domain, with_masks=True),
    "unaligned": partial(list_domain, with_masks=False),
}
"""``--dataset_mode`` -> (data root, phase, domain) -> pictures and their masks."""
