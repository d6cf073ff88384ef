"""What a sample is made of, before its placement is drawn: the same in every epoch, so that it can be kept."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from torch.utils.data import get_worker_info

from data.entries import Entry
from data.placement import Framing, Size, resize_inside, resize_pixels
from data.preparing.parallel import cores
from instagan.errors import InputError
from instagan.threads import pool_beside

HEADER = struct.Struct("<6I?")
"""Size of the files, size of the arrays, channels, number of masks, or of parts of all; whether pixels are floats."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture and its masks, at the size of their files or resized already; placing gives the same from both.
    Instances that have a box and no mask are not among them.

    size      width and height of the files
    picture   (H, W, C) uint8, or float32 shares of the range of its values
    masks     (H, W) bool each, to be taken once: they are read one by one; where ``Framing.parts`` is not 0, so many
              for each instance, one for each part
    """

    size: Size
    picture: np.ndarray
    masks: Iterable[np.ndarray]

    def resized(self, framing: Framing) -> Decoded:
        """As all placements of a framing resize it."""
        size = framing.resized(self.size)
        return replace(
            self,
            picture=resize_pixels(self.picture, size),
            masks=[resize_inside(mask, size) for mask in self.masks],
        )

    def pack(self) -> bytes:
        """All of it, 8 pixels of a mask in a byte."""
        masks = [np.packbits(mask).tobytes() for mask in self.masks]
        height, width, channels = self.picture.shape
        floats = self.picture.dtype != np.uint8
        head = HEADER.pack(*self.size, width, height, channels, len(masks), floats)
        return b"".join((head, self.picture.tobytes(), *masks))

    @classmethod
    def unpack(cls, packed: bytes | memoryview) -> Decoded:
        """What ``pack`` packed. The picture is a view of it."""
        file_width, file_height, width, height, channels, count, floats = HEADER.unpack_from(packed)
        kind, shape = np.float32 if floats else np.uint8, (height, width, channels)
        picture = np.frombuffer(packed, kind, height * width * channels, HEADER.size).reshape(shape)
        masks = np.frombuffer(packed, np.uint8, offset=HEADER.size + picture.nbytes).reshape(
            count, -(-height * width // 8)
        )
        return cls((file_width, file_height), picture, _bits(masks, height, width))


Read = Callable[[Entry, Framing], Decoded]
"""A way to get at an entry's picture and masks: ``decode``, or a cache before it."""


def decode(entry: Entry, framing: Framing) -> Decoded:
    """From the files, at their size. Raises ``InputError`` naming the file; for a mask, while the masks are taken."""
    pixels = entry.read_pixels()  # (H, W, C)
    size = pixels.shape[1], pixels.shape[0]
    given, parts = [mask for mask in entry.masks if mask.box is None], framing.parts
    if parts:
        masks = (inside for mask in given for inside in mask.read_parts(size, parts))
    else:
        masks = (mask.read(size) for mask in given)
    return Decoded(size, np.array(pixels, np.uint8 if pixels.dtype == np.uint8 else np.float32), masks)


def read_both(read: Read, a: Entry, b: Entry, framing: Framing, threads: int) -> tuple[Decoded, Decoded]:
    """Two entries, at the same time if there is a thread for each: PIL lets others work while it decodes.

    Workers of a DataLoader, of which there are as many as shall work, use one thread, whatever ``threads`` says.
    """
    if min(threads, cores()) < 2 or get_worker_info():
        with naming(a):
            of_a = read(a, framing)
        with naming(b):
            return of_a, read(b, framing)
    other = _second_thread(os.getpid()).submit(read_whole, read, b, framing)
    return read_whole(read, a, framing), other.result()


def read_whole(read: Read, entry: Entry, framing: Framing) -> Decoded:
    """The picture and its masks, none of which is still to be read. Raises ``InputError`` naming one of them."""
    with naming(entry):
        decoded = read(entry, framing)
        return replace(decoded, masks=list(decoded.masks))


@contextmanager
def naming(entry: Entry) -> Iterator[None]:
    """Whatever goes wrong within it is an ``InputError`` with a file's name: a worker sends nothing else."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(
            f"{entry.picture} or one of its masks cannot be used ({reason}); fix or remove the file"
        ) from error


@lru_cache(maxsize=1)
def _second_thread(process: int) -> ThreadPoolExecutor:
    """One for each process: threads do not survive a fork."""
    return pool_beside(1, "decode")


def _bits(masks: np.ndarray, height: int, width: int) -> Iterator[np.ndarray]:
    for mask in masks:
        yield np.unpackbits(mask, count=height * width).reshape(height, width).view(bool)
