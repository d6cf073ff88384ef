"""Videos: frames, times and sound kept, instances known by number, flicker measured and blended away."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from instagan import Translator
from instagan.cli.main import main
from instagan.io.flicker import Flicker, Shown, blended, still_background
from tests.io.test_pasting import nearest
from tests.programs import sentence
from tests.using import tiny_run, with_small_masks
from tests.videos import draw_video, read_video

av = pytest.importorskip("av")
LUMA = np.array([0.299, 0.587, 0.114])
"""Brightness, which videos keep at full resolution."""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return with_small_masks(tiny_run(tmp_path_factory.mktemp("runs"))[0])


@pytest.fixture(scope="module")
def bold(tmp_path_factory) -> Path:
    """Translated masks cover about half of everything."""
    return tiny_run(tmp_path_factory.mktemp("bold"))[0].path


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return draw_video(tmp_path_factory.mktemp("video"))


def command(model: Path, video: Path, out: Path, *flags: object) -> list[str]:
    words = ("--video", video, "--masks_dir", video.parent / "masks", "--output", out, *flags)
    return ["translate", "--model", str(model), "--device", "cpu", *(str(word) for word in words)]


def figures(told: str) -> dict[str, list[float]]:
    """Name -> source, translated (and blended) of the line that tells of flicker."""
    line = next(line for line in told.splitlines() if line.startswith("flicker"))
    parts = line.split("unchanged background")[1].split("; instances")
    return {
        name: [float(number) for number in re.findall(r"\d+\.\d+", part)]
        for name, part in zip(("background", "instances"), parts, strict=True)
    }


def test_frames_times_and_sound(model, video, tmp_path, capsys):
    assert main(command(model, video, tmp_path / "new/out.mp4", "--paste_background", "--feather", 0)) == 0
    told = capsys.readouterr()
    assert "12 frames at 12 a second, instances 0, 1 translated to b" in told.out and "sound copied (aac)" in told.out
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"out.mp4"}
    (before, tone), (after, copied) = read_video(video), read_video(tmp_path / "new/out.mp4")
    assert before.shape == after.shape == (12, 64, 64, 3) and len(tone) > 40 and copied == tone
    with av.open(str(video)) as one, av.open(str(tmp_path / "new/out.mp4")) as other:
        times = [[frame.time for frame in container.decode(video=0)] for container in (one, other)]
    assert times[0] == pytest.approx(times[1])
    t = Translator.load(model, device="cpu")
    for frame, numbers in ((0, (0,)), (9, (0, 1))):
        masks = [video.parent / "masks" / (f"{frame:06d}_0.png" if k == 0 else f"{frame}_1.png") for k in numbers]
        made = t(before[frame], masks)
        union = made.inside.any(0) | np.any([np.asarray(Image.open(mask)) > 0 for mask in masks], axis=0)
        far = nearest(union, 99) > 3
        assert np.abs(after[frame][far].astype(int) - before[frame][far]).mean() < 3  # but for compression
        core = nearest(~union, 99) > 3
        wanted, got = (pixels[core] @ LUMA for pixels in (np.asarray(made.picture), after[frame]))
        assert np.abs(got - wanted).mean() < 8 < np.abs(before[frame][core] @ LUMA - wanted).mean()


def test_flicker_is_shown_and_blending_reduces_it(model, bold, video, tmp_path, capsys):
    assert main(command(model, video, tmp_path / "out.mp4", "--temporal_blend", "0.6")) == 0
    told = figures(capsys.readouterr().out)
    for source, translated, mixed in told.values():
        assert source >= 0 and 0 < mixed < translated
    assert told["background"][0] < 1
    assert main(command(bold, video, tmp_path / "out.mp4", "--temporal_blend", "0.6", "--crop_instances")) == 0
    exact = figures(capsys.readouterr().out)
    assert exact["instances"][2] < exact["instances"][1]
    assert main(command(model, video, tmp_path / "out.mp4", "--max_side", 32)) == 0
    assert len(figures(capsys.readouterr().out)["background"]) == 2


def test_instances_keep_their_lots(model, video, tmp_path, monkeypatch, capsys):
    seen = []
    translate = Translator.translate

    def watched(self, sources, *args, **kwargs):
        assert kwargs["in_order"]
        seen.append([int(mask.sum()) for mask in sources[0].inside])
        return translate(self, sources, *args, **kwargs)

    monkeypatch.setattr(Translator, "translate", watched)
    assert main(command(model, video, tmp_path / "out.mkv")) == 0
    assert seen == [[256, 0]] * 6 + [[256, 480]] * 6  # 0 is larger over all frames, 1 in each that shows it


def test_masks_are_written_on_request(model, video, tmp_path, capsys):
    folder = tmp_path / "new/masks"
    assert main(command(model, video, tmp_path / "out.mp4", "--output_masks", folder)) == 0
    assert f"masks in {folder}" in capsys.readouterr().out
    names = [f"{frame:06d}_{who}.png" for frame in range(12) for who in (0, 1)]
    assert sorted(path.name for path in folder.iterdir()) == names
    t, frames = Translator.load(model, device="cpu"), read_video(video)[0]
    for frame, numbers in ((0, (0,)), (9, (0, 1))):
        masks = [video.parent / "masks" / (f"{frame:06d}_0.png" if k == 0 else f"{frame}_1.png") for k in numbers]
        made = t(frames[frame], masks).inside
        for who in (0, 1):
            written = np.asarray(Image.open(folder / f"{frame:06d}_{who}.png")) > 0
            assert (written == (made[who] if who in numbers else np.zeros_like(written))).all()
    again = ("--masks_dir", folder, "--output_masks", folder)  # what is written can be read, but not be written over
    assert "would be written over --masks_dir" in sentence(capsys, main, *command(model, video, "o.mp4", *again))


def test_label_maps_odd_sizes_and_no_sound(model, tmp_path, capsys):
    video = draw_video(tmp_path, 4, (63, 57), "in.mkv", sound=False)
    for frame in range(4):
        labels = np.zeros((57, 63), np.uint8)
        for file in (tmp_path / "masks").glob("*.png"):
            number, _, who = file.stem.partition("_")
            if who and int(number) == frame:
                labels[np.asarray(Image.open(file)) > 0] = 7 + int(who)
                file.unlink()
        Image.fromarray(labels).save(tmp_path / "masks" / f"{frame}.png")
    assert main(command(model, video, tmp_path / "out.mkv")) == 0
    assert "instances 7, 8" in (told := capsys.readouterr().out) and "no sound" in told
    assert read_video(tmp_path / "out.mkv")[0].shape == (4, 57, 63, 3)


def test_turned_videos_are_shown_upright(model, tmp_path):
    video = draw_video(tmp_path, 2, (64, 48), sound=False)
    content = bytearray(video.read_bytes())
    place = content.index(b"tkhd") + 44  # the matrix by which a track is shown: now a quarter to the right
    content[place : place + 16] = b"".join(n.to_bytes(4, "big", signed=True) for n in (0, 65536, 0, -65536))
    content[place + 16 : place + 36] = b"".join(n.to_bytes(4, "big") for n in (0, 0, 48 << 16, 0, 1 << 30))
    stored = read_video(video)[0]
    video.write_bytes(content)
    for file in (tmp_path / "masks").iterdir():
        Image.fromarray(np.rot90(np.asarray(Image.open(file)), -1)).save(file)
    assert main(command(model, video, tmp_path / "out.mp4", "--paste_background", "--feather", 0)) == 0
    upright = np.stack([np.rot90(frame, -1) for frame in stored])
    after = read_video(tmp_path / "out.mp4")[0]
    assert after.shape == upright.shape == (2, 64, 48, 3)
    assert np.median(np.abs(after.astype(int) - upright)) < 10  # the video is compressed; turned wrongly: over 30


def test_flicker_of_known_frames():
    random = np.random.default_rng(0)
    first = random.integers(0, 200, (40, 50, 3), dtype=np.uint8)
    mask = np.zeros((2, 1, 40, 50), bool)
    mask[0, 0, 5:15, 5:15], mask[1, 0, 9:19, 20:30] = True, True
    second = first.copy()
    second[9:19, 20:30] = first[5:15, 5:15]  # an instance moved
    second[30:, :] += 2  # noise
    second[25:28, :] += 40  # a change
    one, two = Shown(first, mask[0]), Shown(second, mask[1])
    still = still_background(first, second, [one.occupied, two.occupied])
    assert not still[25:28].any() and not still[5:15, 5:15].any() and not still[9:19, 20:30].any() and still[30:].all()
    flicker = Flicker()
    flicker.add(one, two, still)
    assert flicker.instances == 0
    assert flicker.background == pytest.approx(2 * 10 * 50 / still.sum())
    brighter = Shown(np.minimum(second + 10, 255).astype(np.uint8), mask[1])
    flicker = Flicker()
    flicker.add(one, brighter, still)
    assert flicker.instances == pytest.approx(10)
    mixed = blended(one, brighter, still, 0.5)
    assert np.array_equal(mixed[9:19, 20:30], brighter.pixels[9:19, 20:30] - 5)
    assert np.array_equal(mixed[25:28], brighter.pixels[25:28])
    assert np.abs(mixed[still].astype(int) - first[still] - 5).max() <= 1.01
    alone = blended(one, brighter, None, 0.5)
    assert np.array_equal(alone[still], brighter.pixels[still])
    gone = Shown(second, np.zeros_like(mask[1]))
    flicker.add(one, gone, still)
    assert flicker.instance_count == 300


def test_wrong_input_is_one_sentence_and_nothing_is_written(model, video, tmp_path, capsys):
    out = tmp_path / "o/out.mp4"
    (tmp_path / "page.mp4").write_text("<html>not found</html>")
    (tmp_path / "cut.mp4").write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    content = bytearray(video.read_bytes())
    start = content.index(b"mdat") + 900
    content[start : start + 3000] = bytes(3000)
    (tmp_path / "holes.mp4").write_bytes(content)
    (tmp_path / "none").mkdir()
    masks = {path.name: path.read_bytes() for path in (video.parent / "masks").iterdir()}

    def changed(name: str, changes: dict[str, bytes | None]) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, content in {**masks, **changes}.items():
            if content is not None:
                (folder / file).write_bytes(content)
        return folder

    Image.new("L", (5, 5)).save(tmp_path / "small.png")
    small = (tmp_path / "small.png").read_bytes()
    empty = tmp_path / "empty"
    empty.mkdir()
    for frame in range(12):
        Image.new("L", (64, 64)).save(empty / f"{frame}_0.png")
    for given, flags, reason in (
        (tmp_path / "no.mp4", (), "no.mp4: no such file"),
        (tmp_path / "page.mp4", (), "page.mp4 cannot be read as a video"),
        (tmp_path / "cut.mp4", (), "cut.mp4"),
        (tmp_path / "holes.mp4", (), "holes.mp4 is damaged"),
        (video, ("--masks_dir", changed("a", {"000005_0.png": None})), "no mask of frame 5, such as 000005_0.png"),
        (video, ("--masks_dir", changed("b", {"12_0.png": small})), "12_0.png is of frame 12, and the video has 12"),
        (video, ("--masks_dir", changed("c", {"3_0.png": small})), "are both of frame 3"),
        (video, ("--masks_dir", changed("d", {"3_4.png": small})), "3_4.png is 5x5 pixels and the video 64x64"),
        (video, ("--masks_dir", changed("e", {"3_4.png": b"x"})), "3_4.png cannot be read as a picture"),
        (video, ("--masks_dir", tmp_path / "none"), "has no mask of frame 0"),
        (video, ("--masks_dir", tmp_path / "nowhere"), "nowhere: no such folder"),
        (video, ("--masks_dir", empty), "shows nobody in any frame"),
        (video, ("--output", tmp_path / "out.xyz"), "cannot be written with the ending '.xyz'"),
        (video, ("--output", video), "would be written over --video"),
        (video, ("--output", tmp_path / "out.webm"), "its sound does not go into webm ('webm' format"),
        (video, ("--temporal_blend", "1"), "'1' is not below 1"),
        (video, ("--detector",), "--detector does not go with --video"),
        (video, ("--image", "x.png"), "--image does not go with --video"),
    ):
        before = sorted(path for path in tmp_path.rglob("*"))
        assert reason in sentence(capsys, main, *command(model, given, out, *flags)), reason
        assert sorted(path for path in tmp_path.rglob("*")) == before
    words = ["translate", "--model", str(model), "--device", "cpu"]
    assert "--masks_dir is missing" in sentence(capsys, main, *words, "--video", video, "--output", out)
    assert "--output is missing" in sentence(capsys, main, *words, "--video", video, "--masks_dir", empty)
    image = ("--image", tmp_path / "small.png", "--masks", tmp_path / "small.png", "--output", tmp_path / "y.png")
    assert "--temporal_blend belongs to --video" in sentence(capsys, main, *words, *image, "--temporal_blend", "0.5")
    assert "--output_masks belongs to --video" in sentence(capsys, main, *words, *image, "--output_masks", "DIR")
    broken = ("--video", tmp_path / "holes.mp4", "--masks_dir", video.parent / "masks", "--output", out)
    sentence(capsys, main, *words, *broken, "--output_masks", tmp_path / "o/masks")
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_three_seconds(model, tmp_path, capsys):
    video = draw_video(tmp_path, 36, (160, 120))
    assert main(command(model, video, tmp_path / "out.mp4", "--temporal_blend", "0.5", "--paste_background")) == 0
    (before, tone), (after, copied) = read_video(video), read_video(tmp_path / "out.mp4")
    assert before.shape == after.shape == (36, 120, 160, 3) and tone == copied
    told = figures(capsys.readouterr().out)
    assert told["instances"][2] < told["instances"][1] and max(told["background"]) < 5  # but for the feathered edge
