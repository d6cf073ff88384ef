"""Video files through PyAV: looked through, and written anew with other frames and the same sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from instagan.errors import InputError
from instagan.io.optional import need

FORMATS = {
    ".mp4": ("mp4", "libx264"),
    ".m4v": ("mp4", "libx264"),
    ".mov": ("mov", "libx264"),
    ".mkv": ("matroska", "libx264"),
    ".webm": ("webm", "libvpx-vp9"),
}
"""Ending -> container and codec."""
QUALITY = {"libx264": {"crf": "18"}, "libvpx-vp9": {"crf": "24", "b": "0"}}
"""Loses nothing that is easily seen."""

Change = Callable[[int, np.ndarray], np.ndarray]
"""Number of a frame, from 0, and its pixels (H, W, 3) uint8 -> new pixels of the same size."""


@dataclass(frozen=True)
class Facts:
    """frames: how many; size: width and height, upright; quarters: turns to the left that make the stored pixels so;
    rate: frames a second, on average; sound: names of codecs."""

    frames: int
    size: tuple[int, int]
    quarters: int
    rate: float
    sound: tuple[str, ...]


def look_through(path: Path) -> Facts:
    """Decodes the whole file. Raises ``InputError`` naming the file if any of it cannot be used."""
    frames, size, quarters = 0, (0, 0), 0
    with _opened(path) as container:
        stream = _stream(path, container)
        rate = float(stream.average_rate or 25)
        for number, frame in enumerate(_frames(path, container.decode(stream))):
            quarters = round(frame.rotation / 90)
            shape = (frame.height, frame.width) if quarters % 2 else (frame.width, frame.height)
            if number and shape != size:
                raise InputError(
                    f"{path} changes from {size[0]}x{size[1]} to {shape[0]}x{shape[1]} pixels at frame {number}; "
                    "pass a video of one size"
                )
            frames, size = number + 1, shape
        sound = tuple(each.codec_context.name for each in container.streams.audio)
    if not frames:
        raise InputError(f"{path} holds no frame; pass another video")
    return Facts(frames, size, quarters, rate, sound)


def rewrite(path: Path, facts: Facts, written: Path, ending: str, change: Change) -> None:
    """Writes a video whose frames are changed one by one, at the same times; sound is copied as it is."""
    av = _av()
    kind, codec = container_of(ending)
    failing = f"{path} cannot be written as {ending} with its sound", "make room or pass another ending, such as .mkv"
    with _opened(path) as source, _told(av, *failing), av.open(str(written), "w", format=kind) as target:
        _copy(path, facts, source, target, codec, change)


def container_of(ending: str) -> tuple[str, str]:
    """Container and codec. Raises ``InputError`` for an ending that is none of ``FORMATS``."""
    try:
        return FORMATS[ending.lower()]
    except KeyError:
        raise InputError(f"videos cannot be written with the ending {ending!r}; use {', '.join(FORMATS)}") from None


def _copy(path: Path, facts: Facts, source: Any, target: Any, codec: str, change: Change) -> None:
    stream = _stream(path, source)
    encoder = _encoder(target, codec, stream, facts)  # first: a container's header is written with the first packet
    try:
        sounds = {each.index: target.add_stream_from_template(each) for each in source.streams.audio}
    except ValueError as error:
        raise InputError(f"{path}: its sound does not go into {target.format.name} ({error}); write .mkv") from None
    number, last = 0, -(2**62)
    for packet in _frames(path, source.demux(stream, *source.streams.audio)):
        if packet.stream.type == "audio":
            if packet.dts is not None:  # the last one of a stream is empty
                packet.stream = sounds[packet.stream.index]
                target.mux(packet)
            continue
        for frame in _frames(path, iter(packet.decode())):
            pixels = np.rot90(frame.to_ndarray(format="rgb24"), facts.quarters)  # (H, W, 3)
            pixels = np.ascontiguousarray(change(number, np.ascontiguousarray(pixels)))
            made = type(frame).from_ndarray(pixels, format="rgb24")
            made.pts = last = max(last + 1, number if frame.pts is None else frame.pts)
            made.time_base = stream.time_base
            target.mux(encoder.encode(made.reformat(format=encoder.pix_fmt, dst_colorspace=_space(frame))))
            number += 1
    target.mux(encoder.encode(None))


def _encoder(target: Any, codec: str, stream: Any, facts: Facts) -> Any:
    """A stream for upright frames, coloured as the source's are; odd sizes cannot have halved colours."""
    width, height = facts.size
    encoder = target.add_stream(codec, rate=stream.average_rate or Fraction(25), options=QUALITY[codec])
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
    encoder.codec_context.time_base = stream.time_base
    ratio = stream.codec_context.sample_aspect_ratio
    if ratio:
        encoder.codec_context.sample_aspect_ratio = 1 / ratio if facts.quarters % 2 else ratio
    for name in ("color_primaries", "color_trc", "colorspace"):
        setattr(encoder.codec_context, name, getattr(stream.codec_context, name))
    return encoder


def _space(frame: Any) -> Any:
    """Its colours' matrix, None where the file does not tell."""
    return frame.colorspace if frame.colorspace not in (0, 2) else None  # RGB, unspecified


def _frames(path: Path, items: Iterator[Any]) -> Iterator[Any]:
    """What is demuxed or decoded, with errors that name the file and the place."""
    number = 0
    with _told(_av(), f"{path} is damaged"):
        for item in items:
            if getattr(item, "is_corrupt", False):
                raise InputError(f"{path} is damaged in its part {number}; pass a whole video")
            yield item
            number += 1


def _stream(path: Path, container: Any) -> Any:
    if not container.streams.video:
        raise InputError(f"{path} holds no video; pass another file")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    av = _av()
    if not path.is_file():
        raise InputError(f"{path}: no such file; pass a video")
    with _told(av, f"{path} cannot be read as a video"):
        container = av.open(str(path))
    with container:
        yield container


@contextmanager
def _told(av: ModuleType, what: str, instead: str = "pass a whole video") -> Iterator[None]:
    """FFmpeg's errors as a sentence."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise InputError(f"{what} ({error.strerror or error}); {instead}") from None


def _av() -> ModuleType:
    return need("av", "av", "video")
