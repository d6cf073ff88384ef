"""Pictures, masks and label maps."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from instagan.io.label_maps import instances_of
from instagan.io.reading import read_inside, read_picture
from tests.soak.fuzzing.hostile import damaged
from tests.soak.fuzzing.target import Target, file_target

SIZE = (24, 16)
KINDS = {
    "RGB": ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "ICO", "PPM", "TGA"),
    "L": ("PNG", "JPEG", "TIFF"),
    "1": ("PNG", "TIFF"),
    "P": ("PNG", "GIF"),
    "LA": ("PNG",),
    "RGBA": ("PNG", "WEBP", "TIFF"),
    "CMYK": ("JPEG", "TIFF"),
    "I;16": ("PNG", "TIFF"),
    "F": ("TIFF",),
}
"""PIL's name of a mode -> formats that hold it."""


def corpus() -> tuple[bytes, ...]:
    """One small picture of every kind, one with an EXIF orientation, one animated; and what is no picture."""
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    files = []
    for mode, formats in KINDS.items():
        deep = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
        picture = deep if mode == "I;16" else Image.fromarray(noise).convert(mode)
        files += [_saved(picture, kind) for kind in formats]
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb = Image.fromarray(noise)
    files += [_saved(rgb, "JPEG", exif=exif), _saved(rgb, "PNG", exif=exif)]
    files.append(_saved(rgb, "GIF", save_all=True, append_images=[rgb.rotate(90)]))
    labels = (np.arange(SIZE[0] * SIZE[1]) // 100).reshape(SIZE[::-1]).astype(np.uint8)
    files.append(_saved(Image.fromarray(labels), "PNG"))
    files += [b"", b"<html><script>alert(1)</script></html>", b"%PDF-1.4", b"GIF89a", b"\x89PNG\r\n\x1a\n"]
    files += [b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", b"%!PS-Adobe-3.0 EPSF-3.0\n(pwned) run\n"]
    return (*files, bomb(3000, 3000), bomb(40_000, 40_000))


def _saved(picture: Image.Image, kind: str, **more: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **more)
    return file.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of so many black pixels in black and white, whole, in as few bytes as there can be."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    row = (width + 7) // 8 + 1
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(row)) for _ in range(min(height, 4000))) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _label_map(path: Path) -> None:
    for mask in instances_of(path, SIZE).values():
        assert mask.shape == SIZE[::-1] and mask.dtype == bool


def targets() -> list[Target]:
    files = corpus()
    return [
        file_target("picture", "input.png", files, read_picture, damaged(files), 900),
        file_target("mask", "input.png", files, read_inside, damaged(files), 700),
        file_target("mask with jpeg's name", "input.jpg", files, read_inside, damaged(files), 200),
        file_target("label map", "input.png", files, _label_map, damaged(files), 800),
    ]
