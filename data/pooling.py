"""The pictures of several named domains in one pool: a model of many domains is told by labels which is which.

Both letters stand for the whole pool: an update takes its source and its real pictures from it, in independent draws.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from data.entries import Domain, Entry, MaskFile
from data.preparing.categories import split_names
from data.preparing.names import distinct_names
from data.preparing.tasks import Category


def pooled_names(options: Namespace) -> list[str]:
    """The domains of ``--domains`` in the order of their labels; none for a method without that flag."""
    told = getattr(options, "domains", None)
    return split_names(told, "--domains") if told else []


def pool(domains: Mapping[str, Sequence[Entry]]) -> list[Entry]:
    """The entries of all domains in turn, the first of each first; an instance's label is the place of its domain."""
    labelled = [[_labelled(entry, label) for entry in entries] for label, entries in enumerate(domains.values())]
    entries = [entry for of_turn in zip_longest(*labelled) for entry in of_turn if entry]
    names = distinct_names(entry.stem for entry in entries)
    return [replace(entry, name=name) for entry, name in zip(entries, names, strict=True)]


def pooled_domain(title: str, entries: list[Entry], names: Sequence[str]) -> Domain:
    """The pool as the domain that a letter stands for."""
    categories = tuple(Category(name) for name in names)
    return Domain(f"{title} ({', '.join(names)})", entries, {"A": categories, "B": categories})


def _labelled(entry: Entry, label: int) -> Entry:
    masks = tuple(replace(mask, label=label) if isinstance(mask, MaskFile) else mask for mask in entry.masks)
    return replace(entry, masks=masks)
