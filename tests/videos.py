"""What the tests of videos share: a moving square over a still pattern, with its masks and a sine tone."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COLOUR = (220, 40, 40)


def draw_video(
    folder: Path, frames: int = 12, size: tuple[int, int] = (64, 64), name: str = "in.mp4", sound: bool = True
):
    """``name``, 12 frames a second, and masks/FRAME_k.png: 0 moves to the right, 1 shows in the second half."""
    av = pytest.importorskip("av")
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    width, height = size
    tiles = np.random.default_rng(0).integers(60, 200, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    still = np.kron(tiles, np.ones((8, 8, 1), np.uint8))[:height, :width]
    with av.open(str(folder / name), "w") as container:
        video = container.add_stream("libx264", rate=12, options={"crf": "10"})
        video.width, video.height = width, height
        video.pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
        audio = container.add_stream("aac", rate=44100) if sound else None
        for frame in range(frames):
            pixels = still.copy()
            left = 4 + frame * (width // 2) // frames
            places = {0: (slice(8, 24), slice(left, left + 16))}
            if frame >= frames // 2:
                places[1] = (slice(36, 56), slice(30, 54))
            for number, place in places.items():
                mask = np.zeros((height, width), np.uint8)
                mask[place] = 255
                pixels[place] = COLOUR
                digits = f"{frame:06d}" if number == 0 else str(frame)  # zeros before a number mean nothing
                Image.fromarray(mask).save(folder / "masks" / f"{digits}_{number}.png")
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
        if audio is not None:
            time = np.arange(44100 * frames // 12) / 44100
            wave = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)[None]
            tone = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            tone.sample_rate, tone.pts, tone.time_base = 44100, 0, Fraction(1, 44100)
            container.mux(audio.encode(tone))
            container.mux(audio.encode(None))
    return folder / name


def read_video(path: Path) -> tuple[np.ndarray, list[tuple[float, int]]]:
    """Frames (T, H, W, 3) uint8, and of every packet of sound its time in seconds and a hash of its bytes."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        packets = (
            [packet for packet in container.demux(audio=0) if packet.dts is not None] if container.streams.audio else []
        )
        sound = [(float(packet.pts * packet.time_base), hash(bytes(packet))) for packet in packets]
    return np.stack(frames), sound
