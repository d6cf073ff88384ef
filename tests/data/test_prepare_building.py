"""Laws of building any set: stopped and resumed it is the same, and what cannot be written is never half there."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("pycocotools", reason="COCO needs pycocotools (requirements.txt)")
from data.prepared import Prepared
from data.preparing import dataset_json, journal, writing
from data.preparing.geometry import Target
from data.preparing.parallel import in_order
from data.preparing.splitting import validation_part
from instagan.errors import InputError
from scripts import prepare_coco
from tests.preparing import check_set, coco_content, contents, load, write_coco
from tests.programs import ROOT, sentence

pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")  # pycocotools under numpy 2

FLAGS = ("--cat1", "cow", "--cat2", "sheep", "--image_size", "32", "--workers", "1")


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("source") / "coco")


@pytest.fixture(scope="module")
def complete(coco, tmp_path_factory):
    root = tmp_path_factory.mktemp("complete") / "set"
    assert prepare_coco.main(flags(coco, root)) == 0
    return contents(root)


def flags(coco: Path, root: Path, *more: str) -> list[str]:
    return ["--data_root", str(coco), "--save_root", str(root), *FLAGS, *more]


def stop_after(monkeypatch, count: int, error: BaseException) -> None:
    """The program is stopped while it takes its ``count``-th result."""
    from data.preparing import building

    taken = []
    take = building._take

    def stopping(*args) -> None:
        if len(taken) == count:
            raise error
        taken.append(args)
        take(*args)

    monkeypatch.setattr(building, "_take", stopping)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_stopped_run_goes_on_to_the_same_bytes(coco, complete, tmp_path, monkeypatch, capsys, workers):
    with monkeypatch.context() as patch:
        stop_after(patch, 3, KeyboardInterrupt())
        assert prepare_coco.main(flags(coco, tmp_path, "--workers", workers)) == 130
    assert "goes on" in capsys.readouterr().err
    left = contents(tmp_path)
    assert journal.FILE_NAME in left and "dataset.json" not in left
    assert {name: data for name, data in left.items() if name in complete}.items() <= complete.items()
    before = (tmp_path / "trainA/000000000001.png").stat().st_mtime_ns
    assert prepare_coco.main(flags(coco, tmp_path, "--workers", workers)) == 0
    assert "3 were there already" in capsys.readouterr().out
    assert contents(tmp_path) == complete
    assert (tmp_path / "trainA/000000000001.png").stat().st_mtime_ns == before


def test_a_killed_run_goes_on_to_the_same_bytes(coco, complete, tmp_path):
    """Killed for good, workers and all; with a journal that ends in the middle of a line."""
    code = (
        "import sys, time; sys.path.insert(0, '.')\n"
        "from data.preparing import building\n"
        "take = building._take\n"
        "building._take = lambda *args: (take(*args), time.sleep(0.4))\n"
        "from scripts import prepare_coco\n"
        "sys.exit(prepare_coco.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, *flags(coco, tmp_path / "set", "--workers", "2")]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    lines = tmp_path / "set" / journal.FILE_NAME
    deadline = time.monotonic() + 120
    while not (lines.exists() and lines.read_text().count("\n") >= 3) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert "dataset.json" not in contents(tmp_path / "set")
    with lines.open("a") as file:
        file.write('["trainA/0000')
    assert prepare_coco.main(flags(coco, tmp_path / "set")) == 0
    assert contents(tmp_path / "set") == complete


def test_sigterm_stops_like_ctrl_c(coco, complete, tmp_path, monkeypatch, capsys):
    from data.preparing import building

    take = building._take
    monkeypatch.setattr(building, "_take", lambda *args: (take(*args), os.kill(os.getpid(), signal.SIGTERM)))
    assert prepare_coco.main(flags(coco, tmp_path)) == 143
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert prepare_coco.main(flags(coco, tmp_path)) == 0
    assert contents(tmp_path) == complete


def test_run_again_it_makes_only_what_is_missing(coco, complete, tmp_path, capsys):
    assert prepare_coco.main(flags(coco, tmp_path)) == 0
    (tmp_path / "trainA_seg/000000000001_1.png").unlink()
    (tmp_path / "trainB/000000000004.png").write_bytes(b"")
    assert prepare_coco.main(flags(coco, tmp_path)) == 0
    assert "5 were there already" in capsys.readouterr().out.splitlines()[-1]
    assert contents(tmp_path) == complete


def test_other_settings_need_overwrite(coco, tmp_path, capsys):
    assert prepare_coco.main(flags(coco, tmp_path)) == 0
    for more, told in ((("--image_size", "24"), "settings"), (("--cat1", "person"), "categories")):
        message = sentence(capsys, prepare_coco.main, *flags(coco, tmp_path, *more))
        assert told in message and "--overwrite" in message
    (tmp_path / "mine.txt").write_text("keep")
    assert prepare_coco.main(flags(coco, tmp_path, "--image_size", "24", "--overwrite")) == 0
    assert (tmp_path / "mine.txt").read_text() == "keep"
    (tmp_path / "mine.txt").unlink()
    check_set(tmp_path)
    assert load(tmp_path)["pictures"]["trainA/000000000001.png"]["size"] == [24, 24]


def test_a_set_of_other_origin_is_not_touched(coco, tmp_path, capsys):
    (tmp_path / "trainA").mkdir()
    (tmp_path / "trainA/x.png").write_bytes(b"mine")
    assert "was not written by this program" in sentence(capsys, prepare_coco.main, *flags(coco, tmp_path))
    (tmp_path / "trainA/x.png").unlink()
    (tmp_path / "trainA").rmdir()
    for text in ("{}", "[]", "no json"):
        (tmp_path / "dataset.json").write_text(text)
        assert "dataset.json" in sentence(capsys, prepare_coco.main, *flags(coco, tmp_path))


def test_a_mask_leads_back_to_its_category(coco, tmp_path):
    assert prepare_coco.main(flags(coco, tmp_path, "--cat1", "sheep,cow", "--cat2", "person")) == 0
    prepared = Prepared.read(tmp_path)
    for key, entry in prepared.pictures.items():
        for number, instance in enumerate(entry["instances"]):
            assert prepared.label_and_source_of(key, number) == (instance["category"], instance["id"])
    assert prepared.label_and_source_of("trainA/unknown.png", 0) == (0, None)
    assert dataset_json.load(tmp_path / "trainA") is None


def test_a_full_target_ends_in_a_sentence_and_can_be_gone_on_with(coco, complete, tmp_path, monkeypatch, capsys):
    saved = []
    save = Image.Image.save

    def full_after_five(self, place, *args, **kwargs):
        saved.append(place)
        if len(saved) > 5:
            Path(place).write_bytes(b"half a fi")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(self, place, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "save", full_after_five)
    message = sentence(capsys, prepare_coco.main, *flags(coco, tmp_path, "--skip_bad"))
    assert "No space left" in message and "--save_root" in message
    monkeypatch.undo()
    assert all(data[:4] == b"\x89PNG" for name, data in contents(tmp_path).items() if name.endswith(".png"))
    assert prepare_coco.main(flags(coco, tmp_path)) == 0
    assert contents(tmp_path) == complete


def test_a_target_that_cannot_be_written_is_named(coco, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    assert "is a file" in sentence(capsys, prepare_coco.main, *flags(coco, tmp_path / "file"))
    assert "cannot be made" in sentence(capsys, prepare_coco.main, *flags(coco, tmp_path / "file" / "set"))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "loop" in sentence(capsys, prepare_coco.main, *flags(coco, tmp_path / "loop"))

    def read_only(*_, **__):
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", read_only)
    assert "Read-only" in sentence(capsys, prepare_coco.main, *flags(coco, tmp_path / "set"))


@pytest.mark.parametrize("fault", ["truncated", "empty", "text", "loop", "folder"])
def test_a_bad_picture_is_named_or_listed(tmp_path, capsys, fault):
    coco = write_coco(tmp_path / "coco")
    picture = coco / "train2017/000000000002.jpg"
    whole = picture.read_bytes()
    picture.unlink()
    if fault == "loop":
        picture.symlink_to(picture)
    elif fault == "folder":
        picture.mkdir()
    else:
        picture.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}[fault])
    message = sentence(capsys, prepare_coco.main, *flags(coco, tmp_path / "set"))
    assert "000000000002.jpg" in message and "--skip_bad" in message
    assert prepare_coco.main(flags(coco, tmp_path / "set", "--skip_bad")) == 0
    out, err = capsys.readouterr()
    assert "left out as bad: 1 picture and 1 instance" in out.splitlines()[-1] and "000000000002.jpg" in err
    check_set(tmp_path / "set")
    assert load(tmp_path / "set")["skipped"][0]["file"] == "train2017/000000000002.jpg"


def test_annotations_hold_for_the_stored_picture_where_only_that_has_their_size(tmp_path):
    content = coco_content()
    coco = write_coco(tmp_path / "coco", content)
    picture = coco / "train2017/000000000002.jpg"
    with Image.open(picture) as image:
        exif = image.getexif()
        exif[0x112] = 6  # lies on its side
        image.save(picture, exif=exif)
    assert prepare_coco.main(flags(coco, tmp_path / "set", "--image_size", "0")) == 0
    assert load(tmp_path / "set")["pictures"]["trainA/000000000002.png"]["size"] == [60, 40]


def test_geometry_covers_the_target_and_takes_its_centre():
    for width, height in ((640, 427), (427, 640), (256, 256), (31, 900), (257, 255)):
        placement = Target(256, 256).place((width, height))
        assert min(placement.resize) == 256
        assert placement.resize[0] == int(256 * width / min(width, height))
        left, top, right, bottom = placement.crop
        assert (right - left, bottom - top) == (256, 256)
        assert abs(left - (placement.resize[0] - right)) <= 1 and abs(top - (placement.resize[1] - bottom)) <= 1
    assert Target(300, 450).place((550, 825)).crop == (0, 0, 300, 450)
    assert Target(300, 450, keep_aspect=True).place((550, 550)).crop == (0, 0, 450, 450)
    with pytest.raises(InputError, match="remove this picture"):
        Target(256, 256).place((10000, 1))


def test_a_split_keeps_its_share_in_every_group():
    groups = ["A"] * 50 + ["B"] * 7 + ["AB"] * 3 + ["C"]
    chosen = validation_part(groups, 0.2, seed=1)
    counts = {group: sum(c for c, g in zip(chosen, groups, strict=True) if g == group) for group in set(groups)}
    assert counts == {"A": 10, "B": 1, "AB": 1, "C": 0}
    assert validation_part(groups, 0.2, seed=1) == chosen != validation_part(groups, 0.2, seed=2)
    assert not any(validation_part(groups, 0.0, seed=1))


def die(number: int) -> int:
    if number == 3:
        os._exit(1)
    return number


def test_a_killed_worker_is_told_and_not_waited_for():
    with pytest.raises(InputError, match="--workers 1"):
        list(in_order(die, range(8), 2))


def test_nothing_is_written_beside_a_name_of_any_length(tmp_path):
    assert len(f"{os.getpid()}-") + 120 + len("_1234.png") < 255
    assert writing.SCRATCH.startswith(".")
