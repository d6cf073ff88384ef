"""Masks of a video's frames: FRAME_k.png, where k says who it is in all of the frames, or label maps FRAME.png.

Those of the translation are written in the same way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from instagan.errors import InputError
from instagan.inference.result import Translation
from instagan.io.label_maps import instances_of
from instagan.io.reading import list_pictures, read_inside
from instagan.io.writing import make_folder


@dataclass(frozen=True)
class FrameMasks:
    """files: for each frame, number of an instance -> its mask, or one label map under None.

    identities: the numbers of all that any frame shows, the largest in all frames together first; size: width, height.
    """

    files: tuple[dict[int | None, Path], ...]
    size: tuple[int, int]
    identities: tuple[int, ...] = ()

    def read(self, frame: int) -> np.ndarray:
        """(N, H, W) bool, in the order of ``identities``; empty for those whom the frame does not show."""
        inside = np.zeros((len(self.identities), *self.size[::-1]), bool)
        for number, mask in self.found(frame).items():
            if number in self.identities:
                inside[self.identities.index(number)] = mask
        return inside

    def found(self, frame: int) -> dict[int, np.ndarray]:
        """The masks (H, W) bool of a frame by number. Raises ``InputError`` for one of another size."""
        masks: dict[int, np.ndarray] = {}
        for number, file in self.files[frame].items():
            if number is None:
                return instances_of(file, self.size)
            masks[number] = read_inside(file)
            if masks[number].shape != self.size[::-1]:
                height, width = masks[number].shape
                raise InputError(
                    f"{file} is {width}x{height} pixels and the video {self.size[0]}x{self.size[1]}; "
                    "pass masks of the video's size"
                )
        return masks


def list_frame_masks(folder: Path, frames: int, size: tuple[int, int]) -> FrameMasks:
    """Looks at every mask. Raises ``InputError`` for a frame without any file, and for what does not fit the video."""
    if not folder.is_dir():
        raise InputError(f"--masks_dir {folder}: no such folder; pass the folder of the masks")
    by_frame = _by_frame(folder)
    beyond = sorted(number for number in by_frame if number >= frames)
    if beyond:
        raise InputError(
            f"{_any_of(by_frame[beyond[0]])} is of frame {beyond[0]}, and the video has {frames} frames, from 0; "
            "pass its own masks, numbered from 0"
        )
    for number in range(frames):
        if number not in by_frame:
            raise InputError(
                f"--masks_dir {folder} has no mask of frame {number}, such as {number:06d}_0.png; "
                "where a frame shows nobody, put a black one"
            )
    masks = FrameMasks(tuple(by_frame[number] for number in range(frames)), size)
    areas: Counter[int] = Counter()
    for number in range(frames):
        areas.update({identity: int(mask.sum()) for identity, mask in masks.found(number).items()})
    shown = sorted((identity for identity in areas if areas[identity]), key=lambda identity: -areas[identity])
    return FrameMasks(masks.files, size, tuple(shown))


@contextmanager
def keeping(folder: Path | None, identities: Sequence[int]) -> Iterator[Callable[[int, Translation], None]]:
    """What takes number and translation of each frame; all masks are in the folder, FRAME_k.png, once the block ends.

    A method that translates the masks as one calls it 0. Without a folder nothing is kept.
    """
    if folder is None:
        yield lambda number, made: None
        return
    make_folder(folder)
    with TemporaryDirectory(prefix=".masks_", dir=folder) as scratch:

        def keep(number: int, made: Translation) -> None:
            who = identities if len(made.masks) == len(identities) else range(len(made.masks))
            for identity, mask in zip(who, made.masks, strict=True):
                mask.save(Path(scratch) / f"{number:06d}_{identity}.png")

        yield keep
        for file in Path(scratch).iterdir():
            file.replace(folder / file.name)


def _by_frame(folder: Path) -> dict[int, dict[int | None, Path]]:
    """Number of a frame, zeros before it or not -> its files."""
    by_frame: defaultdict[int, dict[int | None, Path]] = defaultdict(dict)
    for file in list_pictures(folder):
        frame, mark, number = file.stem.partition("_")
        if not _counts(frame) or (mark and not _counts(number)):
            continue
        identity = int(number) if mark else None
        twin = by_frame[int(frame)].setdefault(identity, file)
        if twin is not file:
            raise InputError(f"{twin} and {file.name} are both of frame {int(frame)}; remove one of them")
    for files in by_frame.values():
        if len(files) > 1:
            files.pop(None, None)  # masks go before a label map
    return dict(by_frame)


def _any_of(files: dict[int | None, Path]) -> Path:
    return next(iter(files.values()))


def _counts(text: str) -> bool:
    return text.isascii() and text.isdecimal()
