"""Star InstaGAN: what is asked of each instance, in training, by flags of test.py, and of ``Translator``."""

import argparse
import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch

from instagan.cli import main as command
from instagan.cli.web.handling import UPLOADED, Desk, Order
from instagan.errors import InputError
from instagan.inference.translator import Translator
from models.star_insta_gan_model import StarInstaGanModel, asked_for
from options.parse import parse_training
from scripts import export, make_shapes, measure_shapes
from tests.batches import WatchedUpdate, assert_same, pair_of, random_batch, random_pair, trained_on
from tests.programs import OF_SMALL, ROOT, sentence, test_program, train, train_program, translate

NAMES = "square,triangle,circle,star"
SMALL = ("--ngf", "2", "--ndf", "2", *OF_SMALL["star_insta_gan"])


def model_of(*flags: str) -> StarInstaGanModel:
    torch.manual_seed(0)
    typed = ["--dataroot", str(ROOT), "--model", "star_insta_gan", *SMALL, "--domains", NAMES, *flags]
    return StarInstaGanModel.from_options(parse_training(typed).values)


def drawn(model: StarInstaGanModel, counts: list[int], slots: int, shown: list[list[int]]) -> torch.Tensor:
    """Targets of so many instances, beside real images that show these categories."""
    y = random_batch([len(labels) for labels in shown])
    labels = torch.zeros_like(y.labels)
    for row, own in enumerate(shown):
        labels[row, y.present[row]] = torch.tensor(own, dtype=torch.long)
    generators = [torch.Generator().manual_seed(row) for row in range(len(counts))]
    return model.drawn_targets(random_batch(counts, slots).first(), dataclasses.replace(y, labels=labels), generators)


def test_targets_are_categories_of_the_real_image_and_of_each_row_alone():
    model, shown = model_of(), [[2], [0, 3], []]
    few, many = drawn(model, [3, 1, 2], 3, shown), drawn(model, [3, 1, 2], 8, shown)
    assert torch.equal(few, many[:, :3]) and not many[:, 3:].any()
    assert torch.equal(few[1:], drawn(model, [3, 1, 2], 3, [[1, 1, 3], *shown[1:]])[1:])
    one, two, everything = drawn(model, [20, 20, 20], 20, shown).tolist()
    assert {*one} == {2} and {*two} == {0, 3} and {*everything} == {0, 1, 2, 3}
    assert {*drawn(model, [20], 20, [[]]).flatten().tolist()} == {0, 1, 2, 3}


def test_a_share_of_images_is_asked_for_any_categories():
    model = model_of("--mixed", "0.25")
    rows = drawn(model, [8] * 400, 8, [[2]] * 400).tolist()
    mixed = sum({*row} != {2} for row in rows)
    assert 60 < mixed < 140, "a quarter of 400, within five standard deviations"
    assert {category for row in rows for category in row} == {0, 1, 2, 3}


def test_losses_and_pictures_and_that_nobody_at_home_is_legal():
    pair = pair_of(random_batch([3, 0]), random_batch([0, 2]))
    losses, pictures = trained_on(model_of(), pair)
    assert list(losses) == ["G", "cls", "cyc", "ctx", "idt", "D", "cls_real"] and all(losses.values())
    assert list(pictures["A"]) == ["real_A", "fake_B", "rec_A"]
    assert torch.equal(pictures["A"]["fake_B"].image[1], pair["A"].image[1])
    losses, _ = trained_on(model_of(), random_pair([0], [0]))
    assert not losses


def test_the_way_back_is_to_the_source_categories():
    model, asked = model_of(), []
    x = random_batch([2])
    x = dataclasses.replace(x, labels=torch.tensor([[2, 3]]))
    model.G.register_forward_pre_hook(lambda _, batch: asked.append(batch[0].targets.tolist()))
    model.training_step(WatchedUpdate([pair_of(x, random_batch([1]))], lambda _: None))
    there, back_and_same = asked
    by_area = x.labels.gather(1, x.order_by_area()).tolist()
    assert back_and_same == by_area * 2 and len(there[0]) == 2


def test_what_is_translated_carries_its_target_or_takes_what_was_asked_for():
    model = model_of()
    x = dataclasses.replace(random_batch([3]), labels=torch.tensor([[3, 0, 1]]))
    assert model.translate(x).labels.tolist() == [[0, 1, 2]]  # without any wish, the next one
    model.asked = 2
    assert model.translate(x).labels.tolist() == [[2, 2, 2]]
    model.asked = [1, 1]
    assert model.translate(x).labels.tolist() == [[1, 1, 1]]  # the last one stays what it is
    asked = dataclasses.replace(x, targets=torch.tensor([[0, 1, 2]]))
    assert model.translate(asked).labels.tolist() == [[0, 1, 2]]
    order = torch.tensor([[2, 0, 1]])
    assert_same(model.translate(asked.select(order)), model.translate(asked).select(order), 1e-5)


@pytest.mark.parametrize("domains", ["square", "", "square,square", r"a\,b,c"])
def test_fewer_than_two_domains_are_refused(domains):
    with pytest.raises(InputError, match="--domains"):
        model_of("--domains", domains)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("many") / "shapes"
    flags = ["--train", "1", "--val", "1", "--size", "32", "--domains", "4"]
    assert make_shapes.main(["--save_root", str(root), *flags]) == 0
    return root


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory) -> Path:
    checkpoints = tmp_path_factory.mktemp("many")
    flags = ("--model", "star_insta_gan", *SMALL, "--domains", NAMES, "--name", "run", "--no_html", "--max_steps", "2")
    flags += ("--upsample", "resize_conv")
    assert train(shapes, checkpoints, *flags) == 0
    return checkpoints / "run"


def test_a_set_of_four_domains_trains_is_translated_as_asked_and_measured(shapes, run, tmp_path, capsys):
    asked = ("--targets", "circle,star,square,triangle")
    assert translate(shapes, run.parent, tmp_path, "--name", "run", "--phase", "val", "--original_size", *asked) == 0
    results = tmp_path / "run" / "val_latest"
    assert {path.name for path in results.glob("*_000_fake_B.png")} == {
        f"{name}s_000_fake_B.png" for name in NAMES.split(",")
    }
    where = ["--results", str(results), "--dataroot", str(shapes), "--json", str(tmp_path / "figures.json")]
    assert measure_shapes.main([*where, *asked]) == 0
    told = json.loads((tmp_path / "figures.json").read_text())
    pictures = json.loads((shapes / "shapes.json").read_text())["pictures"]
    counts = {key: len(one["instances"]) for key, one in pictures.items() if key.startswith("val")}
    assert told["all"]["all"]["instances"] == sum(counts.values())
    assert told["source to target"]["square to circle"]["instances"] == 1
    assert "has many domains, tell with --to or --targets" in sentence(capsys, measure_shapes.main, *where)
    assert "disc is no domain of" in sentence(capsys, measure_shapes.main, *where, "--to", "disc")


def test_annotations_tell_what_each_instance_was_told_to_become(shapes, run, tmp_path):
    pytest.importorskip("pycocotools", reason="COCO needs pycocotools (requirements.txt)")
    flags = ("--name", "run", "--phase", "val", "--save_coco", "--batch_size", "3", "--targets", "circle,star")
    assert translate(shapes, run.parent, tmp_path, *flags) == 0
    content = json.loads((tmp_path / "run" / "val_latest" / "annotations.json").read_text())
    named = {record["id"]: record["name"] for record in content["categories"]}
    assert list(named.values()) == NAMES.split(",") and content["annotations"]
    for record in content["annotations"]:
        slot = int(re.search(r"_(\d+).png$", record["mask_file"])[1])
        wanted = ["circle", "star"][slot] if slot < 2 else record["source_category"]
        assert named[record["category_id"]] == wanted


@pytest.mark.parametrize(
    "flags, said",
    [
        (("--to", "disc"), "--to disc: the run's domains are square, triangle, circle, star; name those"),
        (("--targets", "star,disc"), "--targets disc: the run's domains are"),
        (("--targets", "star,,circle"), "--targets (nothing): the run's domains are"),
        (("--targets", "star", "--to", "star"), "--to and --targets both tell what instances become; drop one"),
        (("--domains", "star,square"), "--domains star,square contradicts the run"),
    ],
    ids=str,
)
def test_wrong_names_are_said_in_one_sentence(flags, said, shapes, run, tmp_path, capsys):
    where = ("--dataroot", shapes, "--checkpoints_dir", run.parent, "--name", "run", "--device", "cpu")
    assert said in sentence(capsys, test_program.main, *where, "--phase", "val", *flags)


def test_targets_are_told_for_each_mask_also_where_several_are_alike():
    names = NAMES.split(",")
    assert asked_for(argparse.Namespace(targets="star,star,circle"), names) == [3, 3, 2]
    assert asked_for(argparse.Namespace(targets="star"), names) == asked_for(argparse.Namespace(to="star"), names) == 3
    assert asked_for(argparse.Namespace(), names) is None


def test_a_domain_without_a_folder_is_said_in_one_sentence(shapes, tmp_path, capsys):
    typed = ("--dataroot", shapes, "--model", "star_insta_gan", *SMALL, "--domains", "square,disc", "--device", "cpu")
    said = sentence(capsys, train_program.main, *typed, "--checkpoints_dir", tmp_path)
    assert f"{shapes / 'train_disc'}: no such folder; put the pictures of disc there, or name other --domains" in said


def test_a_translator_takes_targets_by_name_for_each_mask(shapes, run):
    translator = Translator.load(run)
    picture = shapes / "val_square" / "squares_000.png"
    masks = sorted((shapes / "val_square_seg").glob("squares_000_*.png"))[:1] * 3
    assert translator.categories == tuple(NAMES.split(","))
    mixed = translator(picture, masks, targets=["circle", "star", "triangle"], tensors=True)
    assert mixed.image.shape == (3, 32, 32) and mixed.present == (True,) * 3
    stars, labelled = (translator(picture, masks, targets=one, tensors=True) for one in ("star", 3))
    assert torch.equal(stars.image, labelled.image) and not torch.equal(stars.image, mixed.image)
    at_once = translator(picture, masks, 3 * [0], 3, targets=["circle", "star", "triangle"], tensors=True)
    turned = translator(picture, masks, 3 * [0], 3, targets=["triangle", 3, "circle"], tensors=True)
    torch.testing.assert_close(turned.soft_masks, at_once.soft_masks.flip(0), rtol=0, atol=1e-5)
    torch.testing.assert_close(turned.image, at_once.image, rtol=0, atol=1e-5)
    both = translator([picture, picture], [masks, []], targets=[["circle"] * 3, None])
    assert not both[0].unchanged and both[1].unchanged
    large = translator(picture, masks, targets=["circle", "star", "star"], crop_instances=True)
    assert large.present == (True,) * 3


@pytest.mark.parametrize(
    "targets, said",
    [
        (None, "this model makes of each instance one of square, triangle, circle, star: tell which with targets"),
        (["star", "star"], "there are 2 targets for 1 masks; pass one for every mask, or one name"),
        (["disc"], "'disc' is nothing that this model can make; it knows square, triangle, circle, star"),
        ([4], "4 is nothing that this model can make"),
    ],
    ids=str,
)
def test_a_translator_says_what_is_wrong_with_targets(targets, said, shapes, run):
    picture, mask = shapes / "val_square" / "squares_000.png", shapes / "val_square_seg" / "squares_000_0.png"
    with pytest.raises(InputError, match=re.escape(said)):
        Translator.load(run)(picture, [mask], targets=targets)


def test_the_command_makes_of_each_mask_what_is_asked_for(shapes, run, tmp_path, capsys):
    picture, mask = shapes / "val_square" / "squares_000.png", shapes / "val_square_seg" / "squares_000_0.png"
    typed = ["translate", "--model", run, "--image", picture, "--masks", *[mask] * 3]
    typed += ["--output", tmp_path / "y.png"]
    assert command.main([str(word) for word in [*typed, "--targets", "circle,star,circle"]]) == 0
    assert (tmp_path / "y.png").exists() and (tmp_path / "y_mask_2.png").exists()
    assert "--targets" in sentence(capsys, command.main, *typed)


def test_the_page_takes_a_name_for_each_instance(shapes, run, tmp_path):
    desk = Desk({"b": Translator.load(run)}, None, 10**6, tmp_path)
    picture, mask = shapes / "val_square" / "squares_000.png", shapes / "val_square_seg" / "squares_000_0.png"
    order = Order(picture, UPLOADED, None, True, [mask, mask], "b", 2)
    asked = ("circle, star", "star", "star, star")
    shown = [desk.translate(dataclasses.replace(order, targets=typed)) for typed in asked]
    assert all(one.told.startswith("2 of 2 instances translated") for one in shown)
    assert shown[0].translated.tobytes() != shown[1].translated.tobytes() == shown[2].translated.tobytes()
    with pytest.raises(InputError, match="Tell what the instances become: square, triangle, circle, star"):
        desk.translate(order)


def test_export_keeps_the_names_of_the_categories_and_a_graph_is_refused(shapes, run, tmp_path, capsys):
    file = tmp_path / "star.safetensors"
    assert export.main(["--model", str(run), "--output", str(file)]) == 0
    translator = Translator.load(file)
    assert translator.categories == tuple(NAMES.split(","))
    assert translator.network.description.config["upsample"] == "resize_conv"
    picture, mask = shapes / "val_square" / "squares_000.png", shapes / "val_square_seg" / "squares_000_0.png"
    made, again = (Translator.load(one)(picture, [mask], targets="star", tensors=True) for one in (run, file))
    assert torch.equal(made.image, again.image)
    graph = ("--output", tmp_path / "star.pt2", "--format", "torch_export")
    assert "use safetensors for this model" in sentence(capsys, export.main, "--model", run, *graph)
