"""Laws of CCP -> data set: one mask for each picture and label, and both phases have masks of both domains."""

from pathlib import Path

import numpy as np
import pytest

from scripts import prepare_ccp
from tests.preparing import check_set, contents, draw_noise, load, masks_of
from tests.programs import sentence

io = pytest.importorskip("scipy.io", reason="CCP needs scipy (requirements-dev.txt)")

NAMES = ("null", "bag", "coat", "sweater", "scarf")
SIZE = (22, 33)


def write_ccp(root: Path, pictures: int = 12) -> Path:
    """Pictures 1, 2, ... show a coat if divisible by 2, a sweater if by 3, a scarf if by 5."""
    (root / "annotations/pixel-level").mkdir(parents=True)
    labels = np.empty((1, len(NAMES)), object)
    labels[0, :] = [np.array([name]) for name in NAMES]
    io.savemat(root / "label_list.mat", {"label_list": labels})
    for number in range(1, pictures + 1):
        draw_noise(root / f"photos/{number:04d}.jpg", SIZE, seed=number)
        truth = np.zeros(SIZE[::-1], np.uint8)
        for divisor, label, top in ((2, 2, 4), (3, 3, 14), (5, 4, 24)):
            if number % divisor == 0:
                truth[top : top + 6, 6:15] = label
        io.savemat(root / f"annotations/pixel-level/{number:04d}.mat", {"groundtruth": truth})
    return root


def flags(ccp: Path, root: Path, *more: str) -> list[str]:
    common = ["--cat1", "sweater", "--cat2", "coat", "--image_size", "20x30", "--workers", "1", "--val_share", "0.25"]
    return ["--data_root", str(ccp), "--save_root", str(root), *common, *more]


def stems(root: Path, folder: str) -> set[str]:
    return {path.stem for path in (root / folder).iterdir()}


def test_each_picture_has_one_mask_of_a_label_and_both_phases_have_masks(tmp_path, capsys):
    assert prepare_ccp.main(flags(write_ccp(tmp_path / "ccp"), tmp_path / "set")) == 0
    root = tmp_path / "set"
    check_set(root)
    told = load(root)
    for domain, divisor, source in (("A", 3, 3), ("B", 2, 2)):
        shown = stems(root, f"train{domain}") | stems(root, f"val{domain}")
        assert shown == {f"{number:04d}" for number in range(1, 13) if number % divisor == 0}
        assert stems(root, f"val{domain}") and not stems(root, f"train{domain}") & stems(root, f"val{domain}")
        assert told["categories"][domain][0]["source_id"] == source
    assert not (stems(root, "trainA") | stems(root, "trainB")) & (stems(root, "valA") | stems(root, "valB"))
    assert all(len(entry["instances"]) == 1 for entry in told["pictures"].values())
    assert "valB" in capsys.readouterr().out.splitlines()[-1]


def test_a_mask_is_where_its_label_is(tmp_path):
    assert prepare_ccp.main(flags(write_ccp(tmp_path / "ccp"), tmp_path / "set", "--image_size", "0")) == 0
    for key in load(tmp_path / "set")["pictures"]:
        top = 14 if key.split("/")[0].endswith("A") else 4
        expected = np.zeros(SIZE[::-1], bool)
        expected[top : top + 6, 6:15] = True
        assert np.array_equal(masks_of(tmp_path / "set", key)[0], expected)


def test_a_group_of_labels_gives_a_mask_each(tmp_path):
    assert prepare_ccp.main(flags(write_ccp(tmp_path / "ccp"), tmp_path / "set", "--cat1", "scarf,sweater")) == 0
    check_set(tmp_path / "set")
    entries = {entry["source"]: entry for key, entry in load(tmp_path / "set")["pictures"].items() if "A/" in key}
    assert [(i["id"], i["category"]) for i in entries["photos/0003.jpg"]["instances"]] == [(3, 1)]
    assert [(i["id"], i["category"]) for i in entries["photos/0005.jpg"]["instances"]] == [(4, 0)]


def test_the_seed_and_nothing_else_decides_the_split(tmp_path):
    ccp = write_ccp(tmp_path / "ccp")
    for name, more in (("one", ()), ("two", ("--workers", "2")), ("other", ("--seed", "3"))):
        assert prepare_ccp.main(flags(ccp, tmp_path / name, *more)) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert stems(tmp_path / "one", "valB") != stems(tmp_path / "other", "valB")


def test_bad_input_ends_in_one_sentence(tmp_path, capsys):
    ccp = write_ccp(tmp_path / "ccp")
    annotation = ccp / "annotations/pixel-level/0006.mat"
    cases = (
        (("--cat1", "swetaer"), "nearest are: sweater"),
        (("--cat2", "sweater"), "both name"),
        (("--cat2", "bag"), "no picture"),
        (("--data_root", str(tmp_path)), "label_list.mat"),
    )
    for more, told in cases:
        assert told in sentence(capsys, prepare_ccp.main, *flags(ccp, tmp_path / "set", *more))
    whole = annotation.read_bytes()
    for broken, told in ((whole[:150], "cannot be read"), (b"", "cannot be read")):
        annotation.write_bytes(broken)
        message = sentence(capsys, prepare_ccp.main, *flags(ccp, tmp_path / "set"))
        assert "0006.mat" in message and told in message
    assert prepare_ccp.main(flags(ccp, tmp_path / "set", "--skip_bad")) == 0
    assert "0006.mat" in capsys.readouterr().err
    check_set(tmp_path / "set")
    io.savemat(annotation, {"groundtruth": np.full((5, 5), 3, np.uint8)})
    assert "labels (5, 5) pixels" in sentence(capsys, prepare_ccp.main, *flags(ccp, tmp_path / "again"))
    io.savemat(annotation, {"other": np.zeros((5, 5))})
    assert "has no groundtruth" in sentence(capsys, prepare_ccp.main, *flags(ccp, tmp_path / "again2"))


def test_it_does_without_scipy(tmp_path, monkeypatch):
    ccp = write_ccp(tmp_path / "c")
    for name in ("scipy", "scipy.io"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    assert prepare_ccp.main([str(word) for word in flags(ccp, tmp_path / "s")]) == 0
