"""A damaged, foreign or hostile checkpoint is refused by name and cause; a run goes on from the newest whole one."""

import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from engine.opening import open_run
from engine.run_folder import RunFolder, restore
from engine.schedule import Progress
from instagan.errors import InputError
from instagan.io.sealed import save_sealed
from models import MODELS
from options.parse import parse_training
from tests.programs import draw_set, tiny, train


class Trap:
    def __reduce__(self):
        return os.system, ("touch sprung",)


def resolved(runs: Path, *flags: str):
    return parse_training(["--dataroot", ".", "--checkpoints_dir", str(runs), "--name", "run", *tiny(*flags)])


@pytest.fixture(scope="module")
def model():
    return MODELS["insta_gan"].from_options(parse_training(["--dataroot", ".", *tiny()]).values)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, model) -> Path:
    """A run's folder with checkpoints of steps 4 (epoch 1), 8 (epoch 2), 9 (what latest was before) and 10 (latest)."""
    runs = tmp_path_factory.mktemp("whole")
    run = RunFolder(runs, "run")
    run.create()
    run.save_options(resolved(runs).values)
    for tags, steps in ((["latest", "1"], 4), (["latest", "2"], 8), (["latest"], 9), (["latest"], 10)):
        run.save(tags, model, Progress(1, 0, steps, steps))
    return run.path


@pytest.fixture
def run(tmp_path, whole, monkeypatch) -> RunFolder:
    shutil.copytree(whole, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    yield RunFolder(tmp_path, "run")
    assert not (tmp_path / "sprung").exists()


def opened(run: RunFolder, model, *flags: str):
    asked = resolved(run.path.parent, *flags)
    found = open_run(run, asked.values, asked.changed, lambda state: restore(state, model))
    run.lock.release()
    return found


def changed(path: Path, change) -> None:
    """Saves a checkpoint anew, with the checksum that fits, after a change."""
    state = torch.load(path, weights_only=True)
    save_sealed(change(state) or state, path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 8
    path.write_bytes(content)


def not_a_number(path: Path) -> None:
    def spoil(state):
        next(iter(state["networks"]["G_B"].values())).view(-1)[3] = float("nan")

    changed(path, spoil)


def infinite_moment(path: Path) -> None:
    changed(path, lambda state: state["optimizers"]["D"]["state"].update({0: {"exp_avg": torch.tensor([1e39])}}))


def newer(path: Path) -> None:
    changed(path, lambda state: {**state, "format": 7})


def unplaced(path: Path) -> None:
    changed(path, lambda state: {**state, "progress": {"epoch": "three"}})


def uncounted(path: Path) -> None:
    changed(path, lambda state: {**state, "averages": {"count": "three", "networks": {}}})


def trap(path: Path) -> None:
    changed(path, lambda state: {**state, "launch": Trap()})


def foreign_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Trap()))


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(2**27))
        archive.writestr("a/version", b"3")


def stretched(path: Path) -> None:
    """A tensor that would need 4 TB once it is touched."""
    changed(path, lambda state: {**state, "extra": torch.zeros(1).expand(10**6, 10**6)})


def text(path: Path) -> None:
    path.write_text("<html>no such page</html>")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def other_sizes(path: Path) -> None:
    wider = MODELS["insta_gan"].from_options(parse_training(["--dataroot", ".", *tiny("--ngf", "6")]).values)
    RunFolder(path.parent.parent, path.parent.name).save([path.stem], wider, Progress(1, 0, 10, 10))


def other_method(path: Path) -> None:
    other = MODELS["cycle_gan"].from_options(parse_training(["--dataroot", ".", *tiny("--model", "cycle_gan")]).values)
    RunFolder(path.parent.parent, path.parent.name).save([path.stem], other, Progress(1, 0, 10, 10))


FAULTS = {
    cut: "its end is missing",
    emptied: "it is empty",
    flipped: "its checksum does not fit its content",
    not_a_number: "weight holds NaN",
    infinite_moment: "optimizers/D/state/0/exp_avg holds infinite values",
    newer: "has format 7, this version reads 1; it was saved by a newer version",
    unplaced: "does not tell how far its run had come",
    uncounted: "does not tell of how many updates its averages are",
    trap: "holds more than tensors (posix.system) and was not loaded",
    foreign_pickle: "no archive of torch.save",
    bomb: "is compressed, 134,217,729 bytes in",
    stretched: "extra is larger than the file tells",
    text: "no archive of torch.save",
    folder: "Is a directory",
}
MISFITS = {
    other_sizes: "of its G_A is 6x3x7x7 instead of 4x3x7x7",
    other_method: "does not fit the networks",
}


@pytest.mark.parametrize("damage", FAULTS, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_refused_by_name_and_cause(damage, run):
    damage(run.checkpoint("2"))
    with pytest.raises(InputError) as caught:
        run.load("2")
    said = str(caught.value)
    assert str(run.checkpoint("2")) in said and FAULTS[damage] in said and "\n" not in said


@pytest.mark.parametrize("damage", [*FAULTS, *MISFITS], ids=lambda damage: damage.__name__)
def test_a_run_goes_on_from_the_newest_whole_checkpoint_and_says_so(damage, run, model):
    damage(run.checkpoint("latest"))
    found = opened(run, model, "--continue_train")
    assert found.state["progress"]["steps"] in ((9, 10) if damage in MISFITS else (9,))  # a misfit was saved over it
    assert {**FAULTS, **MISFITS}[damage] in found.notes[0] and "latest.pth" in found.notes[0]
    assert "going on from" in found.notes[0] and "latest.pth.previous" in found.notes[0]
    assert run.load("latest")["progress"] == found.state["progress"]  # which the next save may keep


def test_numbered_checkpoints_stand_in_by_their_steps(run, model):
    flipped(run.checkpoint("latest"))
    cut(run.previous)
    os.utime(run.checkpoint("1"))  # the younger file is of the older step
    assert opened(run, model, "--continue_train").state["progress"]["steps"] == 8
    assert run.refused.exists()


def test_a_lost_latest_is_found_again(run, model):
    run.checkpoint("latest").unlink()
    found = opened(run, model, "--continue_train")
    assert found.state["progress"]["steps"] == 9 and "no such checkpoint" in found.notes[0]


def test_where_nothing_is_whole_the_run_is_refused_and_left_as_it_is(run, model):
    for path in (*map(run.checkpoint, run.tags()), run.previous):
        flipped(path)
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    with pytest.raises(InputError, match=r"latest.pth is damaged.*nor can one of the 3 others there be used"):
        opened(run, model, "--continue_train")
    run.lock.release()
    (run.path / ".lock.json.guard").unlink()  # what guards the lock's file is left
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before


def test_a_checkpoint_that_is_asked_for_by_its_number_has_no_stand_in(run, model):
    flipped(run.checkpoint("2"))
    with pytest.raises(InputError, match="2.pth is damaged"):
        opened(run, model, "--continue_train", "--epoch", "2")
    run.lock.release()


def test_a_damaged_latest_never_takes_the_place_of_a_whole_one(run, model, monkeypatch):
    """Falling back, then a save that is cut off before its last rename: the newest that was whole is there still."""
    flipped(run.checkpoint("latest"))
    opened(run, model, "--continue_train")
    replace = os.replace

    def cut_off(scratch, path):
        if Path(path).name == "latest.pth":
            raise OSError("the end")
        replace(scratch, path)

    monkeypatch.setattr("engine.durable.os.replace", cut_off)
    with pytest.raises(InputError):
        run.save(["latest"], model, Progress(1, 0, 11, 11))
    monkeypatch.undo()
    assert opened(run, model, "--continue_train").state["progress"]["steps"] == 9


def test_old_checkpoints_without_a_checksum_are_read_and_checked_by_the_archives_own(run, model):
    state = torch.load(run.checkpoint("latest"), weights_only=True)
    torch.save(state, run.checkpoint("latest"))
    assert opened(run, model, "--continue_train").notes == ()
    weight = next(iter(state["networks"]["G_A"].values()))
    place = run.checkpoint("latest").read_bytes().find(weight.numpy().tobytes())
    content = bytearray(run.checkpoint("latest").read_bytes())
    content[place + 9] ^= 1
    run.checkpoint("latest").write_bytes(content)
    assert "does not fit the checksum" in opened(run, model, "--continue_train").notes[0]


def test_a_run_that_was_killed_before_it_told_its_options_begins(tmp_path, capsys):
    root = draw_set(tmp_path / "data", "train", a=(1,), b=(1,))
    (tmp_path / "run").mkdir()
    flags = ("--name", "run", "--continue_train", "--no_html", "--max_steps", "1")
    assert train(root, tmp_path, *flags) == 0
    assert RunFolder(tmp_path, "run").load("latest")["progress"]["steps"] == 1


def test_a_state_of_anything_else_fits_nothing(run, model):
    for spoiled in ({"networks": {name: {"a": 1} for name in model.networks}}, {"options": [1, 2]}, {"optimizers": 3}):
        changed(run.checkpoint("2"), lambda state, spoiled=spoiled: state | spoiled)
        with pytest.raises(InputError, match="2.pth does not fit the networks"):
            restore(run.load("2"), model)
