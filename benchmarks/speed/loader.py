"""benchmark.py loader: how fast samples are read, between what the published loader does and what decoding allows.

plain    what the published loader does, one file after the other: up to 20 masks of a picture are looked for, each is
         opened and goes by itself through torchvision's transforms, absent ones are filled in
decode   PIL decodes the same files, and nothing else happens: the ceiling of whatever reads them anew
ours     the loader of train.py; without workers it decodes with two threads, where there are two cores
single   the same with one thread
ram      ours with --cache ram, filled
disk     ours with --cache disk, filled

One torch thread. Pairs are taken in order, one in a batch, crops and flips at random.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks.speed.measuring import Spread, clocked, interleave, ratio, table
from benchmarks.speed.published_loader import PublishedPairs, Transform, published_transform
from data.cache import reader
from data.entries import Entry, MaskFile
from data.folders import list_domain
from data.loading import TrainingLoader
from data.placement import Framing
from data.unaligned_instance_dataset import UnalignedInstanceDataset
from instagan.flag_types import whole

CACHE_BYTES = 2**32
WARM_UPS = 2
"""Turns that do not count. The first one fills the caches."""

OURS = {"ours": ("none", 2), "single": ("none", 1), "ram": ("ram", 1), "disk": ("disk", 1)}
"""Our variants: --cache, and threads that decode."""

RATIOS = (*((name, "plain") for name in OURS), ("ours", "decode"), ("single", "decode"))

Pair = tuple[Entry, Entry]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataroot", type=Path, required=True, metavar="DIR", help="folder of <phase>A, <phase>A_seg, ..."
    )
    parser.add_argument("--phase", default="train", help="which of its folders")
    parser.add_argument("--load_size", type=whole(1), default=220, help="width and height to resize to")
    parser.add_argument("--fine_size", type=whole(1), default=200, help="width and height of the crop")
    parser.add_argument("--workers", type=whole(0), nargs="+", default=[0], metavar="N", help="processes that read")
    parser.add_argument("--pairs", type=whole(1), default=70, help="pairs in a turn; few images come repeatedly")
    parser.add_argument("--repeats", type=whole(1), default=5, help="turns that count")


def measure(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The figures for --json, and a table of them."""
    torch.set_num_threads(1)
    a, b = (list_domain(options.dataroot, options.phase, domain, with_masks=True) for domain in "AB")
    pairs = [(a[index % len(a)], b[index % len(b)]) for index in range(options.pairs)]
    transform, origin = published_transform(options.load_size, options.fine_size)
    figures: dict[str, Any] = {}
    rows: list[tuple[object, ...]] = []
    for workers in options.workers:
        rates, files = _rates(pairs, workers, transform, options)
        spreads = {f"{of}/{to}": ratio(rates[of], rates[to]) for of, to in RATIOS}
        figures[str(workers)] = {
            "pairs_per_second": {name: Spread.of(found).figures() for name, found in rates.items()},
            "files": files,
            "ratios": {name: spread.figures() for name, spread in spreads.items()},
        }
        for name, found in rates.items():
            shares = [str(spreads[f"{name}/{to}"]) if (name, to) in RATIOS else "" for to in ("plain", "decode")]
            pictures = [2 * rate for rate in found]
            rows.append((name, workers, Spread.of(found), Spread.of(pictures), files[name], *shares))
    header = ("variant", "workers", "pairs/s", "pictures/s", "files", "of plain", "of decode")
    data = {"dataroot": str(options.dataroot), "phase": options.phase, "pairs": len(pairs)}
    sizes = {"load_size": options.load_size, "fine_size": options.fine_size, "repeats": options.repeats}
    found = data | sizes | {"plain": origin, "workers": figures}
    return found, f"{table(header, rows)}\nplain: transforms by {origin}"


def _rates(
    pairs: list[Pair], workers: int, transform: Transform, options: argparse.Namespace
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Pairs per second of every variant, turn by turn, and how many files it read in a turn."""
    load, fine = (options.load_size,) * 2, (options.fine_size,) * 2
    framing = Framing("resize_and_crop", load, fine, random=True, flip=True)
    pictures = [(a.picture, b.picture) for a, b in pairs]
    files: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="benchmark-cache-") as folder:
        turns = {
            "plain": _turn(PublishedPairs(pictures, transform), workers, batch_size=1),
            "decode": _turn(DecodedPairs(pairs), workers, batch_size=None),
        }
        for name, (cache, threads) in OURS.items():
            turns[name] = _our_turn(pairs, framing, workers, cache, threads, Path(folder))

        def counted(name: str) -> None:
            files[name] = sum(turns[name]())

        seconds = interleave({name: clocked(partial(counted, name)) for name in turns}, options.repeats, WARM_UPS)
    return {name: [len(pairs) / taken for taken in found] for name, found in seconds.items()}, files


Turn = Callable[[], Iterable[int]]
"""Reads all pairs once; gives the number of files of each."""


def _our_turn(pairs: list[Pair], framing: Framing, workers: int, cache: str, threads: int, folder: Path) -> Turn:
    a, b = ([pair[domain] for pair in pairs] for domain in (0, 1))
    read = reader(cache, a + b, framing, folder, CACHE_BYTES)
    dataset = UnalignedInstanceDataset(a, b, framing, seed=0, serial=True, read=read, threads=threads)
    loader = TrainingLoader(dataset, 1, workers, pin_memory=False)
    epochs = itertools.count(1)

    def turn() -> Iterator[int]:
        for batch in loader.epoch(next(epochs), 0):
            yield 2 + batch["A"].slot_count + batch["B"].slot_count

    return turn


def _turn(dataset: PublishedPairs | DecodedPairs, workers: int, batch_size: int | None) -> Turn:
    loader = DataLoader(dataset, batch_size, num_workers=workers, persistent_workers=workers > 0)

    def turn() -> Iterator[int]:
        for found in loader:
            yield int(found["files"] if isinstance(found, dict) else found)

    return turn


class DecodedPairs(Dataset[int]):
    """Decodes the files of a pair; gives their number."""

    def __init__(self, pairs: list[Pair]) -> None:
        self.files = [[file for entry in pair for file in _files(entry)] for pair in pairs]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> int:
        for file in self.files[index]:
            with Image.open(file) as image:
                image.load()
        return len(self.files[index])


def _files(entry: Entry) -> list[Path]:
    """The picture's and the masks' files."""
    return [entry.picture, *(mask.path for mask in entry.masks if isinstance(mask, MaskFile))]
