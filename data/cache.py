"""Keeps decoded, resized pictures and bit-packed masks, so that an epoch need not decode again. Changes no sample.

A sample that does not fit any more, or cannot be written, is read from its files: a cache never ends a run.
"""

from __future__ import annotations

import hashlib
import mmap
import multiprocessing
import os
import struct
import time
import warnings
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import get_worker_info

from data.decoded import Decoded, Read, decode
from data.entries import Entry, file_fingerprint
from data.placement import Framing
from instagan.errors import InputError
from instagan.io.formats import RGB

PATIENCE = 1.0
"""Seconds to wait for another worker before a sample stays uncached."""


class MemoryCache:
    """In the memory of this process and of the workers that it forks: they share one store of ``capacity`` bytes.

    Workers that are not forked (spawn, forkserver) inherit no memory; each then keeps its equal share of the capacity
    to itself. A file that changes while the run lasts is not looked at again.
    """

    def __init__(self, entries: Iterable[Entry], framing: Framing, capacity: int) -> None:
        """Memory is taken from the system as it fills. Raises ``InputError`` if there cannot be so much."""
        self.resizing, self.capacity = framing.resizing, capacity
        self.places = {entry: place for place, entry in enumerate(dict.fromkeys(entries))}
        try:
            self.store: Store | None = Store(len(self.places), capacity)
        except (OSError, ValueError, OverflowError):
            raise InputError(
                f"--cache_size {capacity / 2**30:g}: this computer cannot reserve so many GiB of memory; lower it"
            ) from None

    def __call__(self, entry: Entry, framing: Framing) -> Decoded:
        if self.store is None:  # in a worker that was not forked
            worker = get_worker_info()
            self.store = Store(len(self.places), self.capacity // (worker.num_workers if worker else 1))
        place = self.places.get(entry) if framing.resizing == self.resizing else None
        if place is None or self.store.refuses(place):
            return decode(entry, framing)
        packed = self.store.get(place)
        if packed is None:
            packed = decode(entry, framing).resized(framing).pack()
            self.store.put(place, packed)
        return Decoded.unpack(packed)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"store": None}


class Store:
    """So many places of a shared anonymous mapping, each for bytes of any length, filled once, never emptied."""

    ABSENT, CLAIMED, REFUSED = 0, -1, -2
    """What a place begins at while it holds nothing."""

    def __init__(self, places: int, capacity: int) -> None:
        table = 16 * (places + 1)
        self.memory = mmap.mmap(-1, table + capacity)
        self.table = np.frombuffer(self.memory, np.int64, 2 * (places + 1)).reshape(-1, 2)  # begin, length of each
        self.table[-1] = table, table + capacity  # where the free part begins and ends
        self.lock = multiprocessing.Lock()

    def get(self, place: int) -> memoryview | None:
        begin, length = self.table[place].tolist()
        return memoryview(self.memory)[begin : begin + length] if begin > 0 else None

    def refuses(self, place: int) -> bool:
        """Whether what belongs there has turned out not to fit."""
        return bool(self.table[place, 0] == self.REFUSED)

    def put(self, place: int, packed: bytes) -> None:
        """Does nothing when it does not fit, or another worker is at it. A place is seen only once it is filled."""
        begin = self._claim(place, len(packed))
        if begin is not None:
            self.memory[begin : begin + len(packed)] = packed
            if self.lock.acquire(timeout=PATIENCE):  # taking it makes the bytes visible to others before their place
                self.table[place, 1] = len(packed)
                self.table[place, 0] = begin
                self.lock.release()

    def _claim(self, place: int, length: int) -> int | None:
        if not self.lock.acquire(timeout=PATIENCE):
            return None
        try:
            begin, end = self.table[-1].tolist()
            if self.table[place, 0] != self.ABSENT:
                return None
            fits = begin + length <= end
            self.table[place, 0] = self.CLAIMED if fits else self.REFUSED
            self.table[-1, 0] += length if fits else 0
            return begin if fits else None
        finally:
            self.lock.release()


class DiskCache:
    """In files of a folder, shared by all workers and by later runs; together at most ``capacity`` bytes.

    A file's name is made of picture, masks and framing. It holds FORMAT, a digest of what it was made from (paths,
    times, sizes), and a checksum: what does not fit is read from the data again and replaced. It is written under a
    temporary name and renamed.
    """

    FORMAT = b"instagan sample 2"
    HEADER = struct.Struct("<17s16sI")
    ENDING, TEMPORARY = ".sample", ".tmp"
    FORGOTTEN = 3600.0
    """Seconds after which a temporary file is left over from a run that was killed."""

    def __init__(self, folder: Path, capacity: int) -> None:
        """Raises ``InputError`` if there cannot be such a folder."""
        self.folder, self.capacity, self.writable = folder, capacity, True
        try:
            folder.mkdir(parents=True, exist_ok=True)
            used = sum(found.stat().st_size for found in os.scandir(folder) if found.name.endswith(self.ENDING))
            for left in folder.glob(f"*{self.TEMPORARY}"):
                if left.stat().st_mtime < time.time() - self.FORGOTTEN:
                    left.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be used ({error.strerror}); pass another --cache_dir") from None
        self.used = multiprocessing.Value("q", used)

    def __call__(self, entry: Entry, framing: Framing) -> Decoded:
        try:
            origin = self._origin(entry)
        except OSError:  # reading says which file is gone
            return decode(entry, framing)
        path = self.folder / (self._name(entry, framing) + self.ENDING)
        packed = self._read(path, origin)
        if packed is None and not self.writable:
            return decode(entry, framing)
        if packed is None:
            packed = decode(entry, framing).resized(framing).pack()
            self._write(path, self.HEADER.pack(self.FORMAT, origin, zlib.crc32(packed)) + packed)
        return Decoded.unpack(packed)

    def _name(self, entry: Entry, framing: Framing) -> str:
        masks = [(mask.number, mask.label, mask.source_id) for mask in entry.masks]
        read_as = entry.format.channels, entry.format.levels
        unusual = () if read_as == (RGB.channels, RGB.levels) else (read_as,)
        what = (os.path.abspath(entry.picture), entry.size, masks, framing.resizing, *unusual)
        return hashlib.sha256(repr(what).encode(errors="surrogatepass")).hexdigest()[:32]

    @staticmethod
    def _origin(entry: Entry) -> bytes:
        """Digest of what the pixels come from. Raises ``OSError`` for a file that is gone."""
        digest = hashlib.sha256(file_fingerprint(entry.picture).encode(errors="surrogatepass"))
        for mask in entry.masks:
            digest.update(b"\n" + mask.fingerprint().encode(errors="surrogatepass"))
        return digest.digest()[:16]

    def _read(self, path: Path, origin: bytes) -> memoryview | None:
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if len(content) < self.HEADER.size:
            return None
        written_as, written_from, checksum = self.HEADER.unpack_from(content)
        packed = memoryview(content)[self.HEADER.size :]
        whole = (written_as, written_from) == (self.FORMAT, origin) and checksum == zlib.crc32(packed)
        return packed if whole else None

    def _write(self, path: Path, content: bytes) -> None:
        """Stops writing for good when that would grow beyond the capacity, or the disk refuses."""
        temporary = path.with_name(f"{path.stem}-{os.getpid()}{self.TEMPORARY}")
        growth = len(content) - _size(path)
        with self.used.get_lock():
            self.writable = self.used.value + growth <= self.capacity
            self.used.value += growth if self.writable else 0
        if not self.writable:
            return
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        except OSError as error:
            self.writable = False
            with self.used.get_lock():
                self.used.value -= growth
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            warnings.warn(f"{self.folder}: no more samples are cached ({error.strerror})", stacklevel=2)


def _size(path: Path) -> int:
    """In bytes; 0 where there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


KINDS = ("none", "ram", "disk")


def reader(kind: str, entries: Iterable[Entry], framing: Framing, folder: Path, capacity: int) -> Read:
    """How entries are read: with a cache of a kind, or without. Raises ``InputError`` if it cannot be set up."""
    if kind == "ram":
        return MemoryCache(entries, framing, capacity)
    return DiskCache(folder, capacity) if kind == "disk" else decode
