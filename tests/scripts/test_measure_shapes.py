"""The figures of a translation are known where the translation is made by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.shapes import drawing, hard
from instagan.io.reading import read_inside
from instagan.metrics import outlines
from scripts import make_shapes, measure_shapes

SIDE, VAL = 64, 5
DOMAINS = {domain.name: domain for domain in make_shapes.DOMAINS}
OUTLINES = {domain.shape: domain.outline for domain in make_shapes.DOMAINS}
COLOURS = {"A": (217, 51, 26), "B": (26, 89, 217)}
LINES, COLUMNS = np.mgrid[0:SIDE, 0:SIDE]


@pytest.fixture(scope="module")
def dataroot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "shapes"
    assert make_shapes.main(["--save_root", str(folder), "--train", "0", "--val", str(VAL), "--seed", "3"]) == 0
    return folder


def drawn(domain: str, x: float, y: float, size: float, angle: float = 0.0) -> np.ndarray:
    return drawing.Instance(DOMAINS[domain], (x, y), size, angle, (1, 1, 1)).coverage(SIDE) >= 0.5


def named(mask: np.ndarray) -> str | None:
    return outlines.shape_of(mask, OUTLINES)


def save(path: Path, array: np.ndarray) -> None:
    Image.fromarray(array.astype(np.uint8) * (255 if array.dtype == bool else 1)).save(path)


def translate_by_hand(dataroot: Path, results: Path, every: int = 1, repaint: bool = True, shift: int = 0) -> list[int]:
    """Writes what test.py would, for both directions, and returns which instances were translated (1) and not (0).

    Only every so many-th instance is translated, none if 0; repaint: give it the target's colour instead of the
    source's; shift: what is added to the background, of 255.
    """
    results.mkdir(parents=True)
    translated = []
    pictures = json.loads((dataroot / "shapes.json").read_text())["pictures"]
    for key in pictures:
        stem, source = Path(key).stem, key.split("/")[0][-1]
        target = "AB".replace(source, "")
        real = np.asarray(Image.open(dataroot / key)).astype(int)
        fake, before, after = real + shift, [], []
        for slot, instance in enumerate(pictures[key]["instances"]):
            was = read_inside(dataroot / f"val{source}_seg" / f"{stem}_{slot}.png")
            now = was
            fake[was] = real[was]
            translated.append(int(bool(every) and len(translated) % every == 0))
            if translated[-1]:
                now = drawn(target, *instance["centre"], instance["size"], instance["angle"])
                fake[was | now] = COLOURS[target if repaint else source]
            save(results / f"{stem}_fake_{target}_mask_{slot}.png", now)
            before.append(was)
            after.append(now)
        for name, array in (
            (f"real_{source}", real),
            (f"fake_{target}", fake.clip(0, 255)),
            (f"real_{source}_mask", np.any(before, axis=0)),
            (f"fake_{target}_mask", np.any(after, axis=0)),
        ):
            save(results / f"{stem}_{name}.png", array)
    return translated


def figures(dataroot: Path, results: Path) -> dict[str, dict]:
    found = results.parent / "figures.json"
    flags = ["--results", str(results), "--dataroot", str(dataroot), "--json", str(found)]
    assert measure_shapes.main(flags) == 0
    return json.loads(found.read_text())


def overall(found: dict[str, dict], share: str) -> float:
    instances = [direction["instances"] for direction in found.values()]
    return sum(direction[share] * n for direction, n in zip(found.values(), instances, strict=True)) / sum(instances)


def test_a_perfect_translation_has_perfect_figures(dataroot, tmp_path, capsys):
    translate_by_hand(dataroot, tmp_path / "results")
    for direction in figures(dataroot, tmp_path / "results").values():
        assert direction["shape_share"] == direction["colour_share"] == 1
        assert direction["background_error"] == 0
        assert direction["pictures"] == VAL
    printed = capsys.readouterr().out
    assert "translated mask is a triangle" in printed and "translated mask is a square" in printed
    assert printed.count("100.0%") == 4 and printed.count("0.0000") == 2


def test_nothing_translated_scores_nothing(dataroot, tmp_path):
    translate_by_hand(dataroot, tmp_path / "results", every=0)
    for direction in figures(dataroot, tmp_path / "results").values():
        assert direction["shape_share"] == direction["colour_share"] == direction["background_error"] == 0


def test_half_translated_scores_half(dataroot, tmp_path):
    share = np.mean(translate_by_hand(dataroot, tmp_path / "results", every=2))
    found = figures(dataroot, tmp_path / "results")
    assert overall(found, "shape_share") == pytest.approx(share)
    assert overall(found, "colour_share") == pytest.approx(share)


def test_shape_and_colour_are_measured_apart(dataroot, tmp_path):
    translate_by_hand(dataroot, tmp_path / "results", repaint=False)
    found = figures(dataroot, tmp_path / "results")
    assert overall(found, "shape_share") == 1
    assert overall(found, "colour_share") == 0


def test_background_error_is_the_mean_change_outside_all_masks(dataroot, tmp_path):
    translate_by_hand(dataroot, tmp_path / "results", shift=20)
    for direction in figures(dataroot, tmp_path / "results").values():
        assert direction["background_error"] == pytest.approx(20 / 255, abs=1e-6)


def test_an_instance_without_a_translated_mask_counts_as_failed(dataroot, tmp_path):
    translate_by_hand(dataroot, tmp_path / "results")
    (tmp_path / "results" / "squares_000_fake_B_mask_0.png").unlink()
    a_to_b = figures(dataroot, tmp_path / "results")["A_to_B"]
    assert a_to_b["shape_share"] == a_to_b["colour_share"] == pytest.approx(1 - 1 / a_to_b["instances"])


def test_a_mask_elsewhere_counts_as_failed(dataroot, tmp_path):
    translate_by_hand(dataroot, tmp_path / "results")
    path = tmp_path / "results" / "squares_000_fake_B_mask_0.png"
    mask = read_inside(path)
    save(path, np.roll(mask, (SIDE // 2, SIDE // 2), (0, 1)))
    a_to_b = figures(dataroot, tmp_path / "results")["A_to_B"]
    assert a_to_b["shape_share"] == pytest.approx(1 - 1 / a_to_b["instances"])


@pytest.mark.parametrize(("every", "code"), [(1, 0), (2, 1)])
def test_require_turns_the_figures_into_the_exit_code(dataroot, tmp_path, every, code):
    translate_by_hand(dataroot, tmp_path / "results", every)
    assert (
        measure_shapes.main(["--results", str(tmp_path / "results"), "--dataroot", str(dataroot), "--require"]) == code
    )


def test_one_direction_alone_is_measured_but_not_enough(dataroot, tmp_path, capsys):
    translate_by_hand(dataroot, tmp_path / "results")
    for path in (tmp_path / "results").glob("triangles_*"):
        path.unlink()
    found = figures(dataroot, tmp_path / "results")
    assert found["A_to_B"]["shape_share"] == 1 and found["B_to_A"] is None
    assert "B -> A: not measured" in capsys.readouterr().out
    assert measure_shapes.main(["--results", str(tmp_path / "results"), "--dataroot", str(dataroot), "--require"]) == 1


def test_what_is_missing_is_named(dataroot, tmp_path, capsys):
    for results, root, says in (
        (tmp_path / "no", dataroot, "run test.py first"),
        (tmp_path, tmp_path / "no", "run make_shapes.py first"),
        (tmp_path, dataroot, "has no translation of a val picture"),
    ):
        assert measure_shapes.main(["--results", str(results), "--dataroot", str(root)]) == 2
        message = capsys.readouterr().err
        assert says in message and message.count("\n") == 1


def test_results_of_another_size_are_refused(dataroot, tmp_path, capsys):
    translate_by_hand(dataroot, tmp_path / "results")
    for path in (tmp_path / "results").iterdir():
        Image.open(path).resize((32, 32)).save(path)
    assert measure_shapes.main(["--results", str(tmp_path / "results"), "--dataroot", str(dataroot)]) == 2
    assert "--original_size" in capsys.readouterr().err


def test_drawn_masks_are_recognised():
    rng = np.random.default_rng(0)
    for domain in make_shapes.DOMAINS:
        for instance in (one for _ in range(16) for one in drawing.draw_instances(rng, domain, SIDE, None)):
            assert named(instance.coverage(SIDE) >= 0.5) == domain.shape


@pytest.mark.parametrize("angle", [0, 30, 45, 60, 180])
def test_a_shape_is_recognised_at_any_angle_size_and_place(angle):
    for domain in make_shapes.DOMAINS:
        assert named(drawn(domain.name, 30, 34, 12, angle)) == domain.shape
        assert named(drawn(domain.name, 32, 34, 36, angle)) == domain.shape
        assert named(np.kron(drawn(domain.name, 32, 32, 30, angle), np.ones((4, 4), bool))) == domain.shape


def test_a_few_wrong_pixels_do_not_matter():
    rng = np.random.default_rng(0)
    for domain in make_shapes.DOMAINS:
        mask = drawn(domain.name, 32, 32, 18, 5)
        edge = mask ^ (mask & np.roll(mask, 1, 0) & np.roll(mask, 1, 1))
        assert named(mask ^ (edge & (rng.random(mask.shape) < 0.3))) == domain.shape


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((SIDE, SIDE), bool),
        np.ones((SIDE, SIDE), bool) & (LINES < 3) & (COLUMNS < 3),
        np.hypot(LINES - 30, COLUMNS - 30) < 8,
        np.hypot((LINES - 30) / 1.4, COLUMNS - 30) < 7,
        (np.hypot(LINES - 30, COLUMNS - 30) < 11) & (np.hypot(LINES - 30, COLUMNS - 30) > 5),
        (abs(LINES - 30) < 4) & (abs(COLUMNS - 30) < 12),
        (abs(LINES - 30) < 9) & (abs(COLUMNS - 30) < 9) & (np.random.default_rng(0).random((SIDE, SIDE)) < 0.6),
        np.random.default_rng(0).random((SIDE, SIDE)) < 0.1,
        drawn("A", 15, 30, 12) | drawn("A", 45, 30, 12),
        drawn("B", 15, 30, 14) | drawn("B", 45, 30, 14),
    ],
    ids=["empty", "speck", "disc", "ellipse", "ring", "bar", "crumbled", "noise", "two squares", "two triangles"],
)
def test_what_is_neither_is_called_neither(mask):
    assert named(mask) is None


def test_colour_belongs_to_the_nearer_palette_or_to_none():
    warm, cool = (
        outlines.palette({"hue": domain.hue, "saturation": domain.saturation, "value": domain.value})
        for domain in make_shapes.DOMAINS
    )
    everywhere = np.ones((4, 4), bool)
    for colour, is_warm, is_cool in (
        ((0.85, 0.2, 0.1), True, False),
        ((0.1, 0.35, 0.85), False, True),
        ((0.5, 0.5, 0.5), False, False),
        ((0.1, 0.9, 0.1), False, False),
    ):
        picture = np.broadcast_to(colour, (4, 4, 3))
        assert outlines.has_colour(picture, everywhere, warm, cool) == is_warm
        assert outlines.has_colour(picture, everywhere, cool, warm) == is_cool
        assert not outlines.has_colour(picture, ~everywhere, warm, cool)


@pytest.fixture(scope="module")
def hard_root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "hard"
    flags = ["--save_root", str(folder), "--train", "0", "--val", "6", "--level", "hard", "--instances", "1", "4", "8"]
    assert make_shapes.main(flags) == 0
    return folder


def translate_hard(root: Path, results: Path, change: bool, paint_distractors: bool = False) -> None:
    """What a perfect translation of the hard level would give (``change``), or the identity."""
    results.mkdir(parents=True)
    for key, picture in json.loads((root / "shapes.json").read_text())["pictures"].items():
        stem, source = Path(key).stem, key.split("/")[0][-1]
        target = "AB".replace(source, "")
        real = np.asarray(Image.open(root / key)).astype(int)
        instances = picture["instances"]
        before = [read_inside(root / f"val{source}_seg" / f"{stem}_{slot}.png") for slot in range(len(instances))]
        after, fake = before, real.copy()
        if paint_distractors:
            for one in hard.distractors_of(picture, SIDE):
                fake[one & ~np.any(before, axis=0)] = COLOURS[target]
        if change:
            places = [(one["centre"], one["size"], one["angle"]) for one in instances]
            after = hard.visible([drawn(target, *centre, size, angle) for centre, size, angle in places])
            fake[np.any(before, axis=0)] = 128
            fake[np.any(after, axis=0)] = COLOURS[target]
        for slot, mask in enumerate(after):
            save(results / f"{stem}_fake_{target}_mask_{slot}.png", mask)
        save(results / f"{stem}_real_{source}.png", real)
        save(results / f"{stem}_fake_{target}.png", fake)
        save(results / f"{stem}_real_{source}_mask.png", np.any(before, axis=0))
        save(results / f"{stem}_fake_{target}_mask.png", np.any(after, axis=0))


def test_partly_covered_instances_are_judged_by_what_shows(hard_root, tmp_path, capsys):
    translate_hard(hard_root, tmp_path / "perfect", change=True)
    for direction in figures(hard_root, tmp_path / "perfect").values():
        assert direction["shape_share"] >= 0.95 and direction["colour_share"] == 1
        assert direction["background_error"] == direction["distractor_error"] == 0
    assert capsys.readouterr().out.count("error on distractors") == 2


def test_on_the_hard_level_too_nothing_translated_scores_nothing(hard_root, tmp_path):
    translate_hard(hard_root, tmp_path / "identity", change=False)
    for direction in figures(hard_root, tmp_path / "identity").values():
        assert direction["shape_share"] == direction["colour_share"] == direction["distractor_error"] == 0


def test_a_distractor_that_is_painted_over_is_told(hard_root, tmp_path):
    translate_hard(hard_root, tmp_path / "painted", change=True, paint_distractors=True)
    for direction in figures(hard_root, tmp_path / "painted").values():
        assert direction["distractor_error"] > 0.2
        assert 0 < direction["background_error"] < direction["distractor_error"]


def test_where_a_shape_is_covered_it_may_go_on_unseen():
    whole, cover = drawn("A", 30, 30, 18), (COLUMNS > 29) & (LINES > 27)
    assert outlines.shape_of(whole & ~cover, OUTLINES) is None
    assert outlines.shape_of(whole & ~cover, OUTLINES, cover) == "square"
    assert outlines.shape_of(drawn("B", 30, 30, 18) & ~cover, OUTLINES, cover) == "triangle"


@pytest.mark.filterwarnings("error")
def test_a_shape_that_is_covered_as_a_whole_fits_nothing():
    whole = drawn("A", 30, 30, 18)
    assert [outlines.fit(whole, outline, unseen=whole) for outline in OUTLINES.values()] == [0.0] * len(OUTLINES)
