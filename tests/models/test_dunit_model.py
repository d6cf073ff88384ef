"""DUNIT's laws: without objects it is DRIT; with them they reach the translation, and the detector stays as it is."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.method import described_translators, state_of
from engine.parallel import ALONE, World
from engine.rounds import updates
from engine.schedule import Progress
from engine.update import Update
from instagan.errors import InputError
from instagan.inference.exporting.mini_batch import mini_batch_of
from instagan.inference.registry import Description
from instagan.io.object_detector import ObjectDetector, write_detector
from instagan.structures.directions import A_TO_B, B_TO_A
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from models import MODELS
from models.dunit_model import DunitModel
from options.parse import parse_training
from tests.batches import boxes_only, pair_of
from tests.engine.test_parallel import assert_close, dealt
from tests.programs import OF_SMALL, TINY, draw_set, sentence, train, train_program, translate
from tests.ranks import on_ranks

if importlib.util.find_spec("torchvision") is None:
    pytest.skip("the detector needs torchvision", allow_module_level=True)

SMALL = ("--ngf", "2", "--ndf", "2", "--fine_size", "32", "--dis_scale", "2", "--d_iter", "1")


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> str:
    """The file of one that has learnt nothing."""
    path = tmp_path_factory.mktemp("detector") / "detector.pth"
    torch.manual_seed(5)
    write_detector(path, ObjectDetector("small", ("car", "person"), 32), {})
    return str(path)


def model_of(name: str, *flags: str, double: bool = True):
    own = ("--concat", "0") if name == "drit" else ("--object_size", "16")
    options = parse_training(["--dataroot", "unused", "--model", name, *SMALL, *own, *flags]).values
    torch.manual_seed(0)  # as train.py does, once flags are read
    model = MODELS[name].from_options(options)
    return model.double() if double else model


def pair_with(a: list[int], b: list[int], seed: int = 0, double: bool = True) -> UnpairedBatch:
    pair = pair_of(boxes_only(a, seed=seed), boxes_only(b, seed=seed + 1))
    return pair.changed(lambda batch: dataclasses.replace(batch, image=batch.image.double())) if double else pair


def trained_for(model, pairs: list[UnpairedBatch]) -> dict[str, Tensor]:
    """Losses of the last update."""
    for step, pair in enumerate(pairs):
        update = Update([pair], progress=Progress(steps=step))
        model.training_step(update)
    return update.losses()


def test_without_any_object_it_is_drit_to_the_bit(detector):
    """Also where B, which is not annotated, has boxes, and where there is a detector."""
    drit, dunit = model_of("drit", double=False), model_of("dunit", "--detector_weights", detector, double=False)
    for name, weight in drit.networks.state_dict().items():
        assert torch.equal(weight, dunit.networks.state_dict()[name]), name
    pairs = [pair_with([0], [1], seed=seed, double=False) for seed in (0, 10, 20)]
    losses, own = trained_for(drit, pairs), trained_for(dunit, pairs)
    assert {name: own[name].item() for name in losses} == {name: loss.item() for name, loss in losses.items()}
    for name, weight in drit.networks.state_dict().items():
        assert torch.equal(weight, dunit.networks.state_dict()[name]), name


def test_objects_train_their_networks_and_the_detector_stays_as_it_is(detector):
    model = model_of("dunit", "--detector_weights", detector)
    before = {name: weight.clone() for name, weight in model.networks.state_dict().items()}
    losses = trained_for(model, [pair_with([2, 0], [1, 1])])
    assert losses["ic_A"].item() > 0
    after = model.networks.state_dict()
    moved = {name.partition(".")[0] for name, weight in after.items() if not torch.equal(weight, before[name])}
    assert {"objects", "blocks_A", "blocks_B", "stem_A", "decoder_B"} <= moved and "detector" not in moved


def test_instance_consistency_reaches_what_translates_a_to_b_alone(detector):
    model = model_of("dunit", "--detector_weights", detector)
    way, pair = A_TO_B, pair_with([2, 1], [0, 0])
    turn = model.turn(way, pair, Update([pair]).generators(pair))
    moved = model.moved(turn, model.detector)
    assert moved.shape == (3,)
    moved.sum().backward()
    reached = {
        name.partition(".")[0]
        for name, weight in model.networks.named_parameters()
        if weight.grad is not None and weight.grad.abs().max() > 0
    }
    assert reached == {"stem_A", "shared", "attribute_B", "decoder_B", "objects", "blocks_B"}


def test_what_an_object_shows_changes_its_place_in_the_translation_more_than_elsewhere():
    """Through instance norms of whole maps everything is seen everywhere, but the scene's are only the decoder's."""
    model = model_of("dunit").eval()
    scenes, style = pair_with([1], [0])["A"], torch.zeros(1, 8, dtype=torch.float64)
    with_object = model.translate(scenes, style=style).image
    without = model.translate(scenes.slots(0, 0), style=style).image
    inside = scenes.masks[:, 0] > 0
    difference = (with_object - without).abs().mean(1)
    assert difference[inside].mean() > 0
    assert not torch.equal(with_object, without)


RAGGED = [([3, 0, 0, 1], [0, 0, 2, 1]), ([0, 0, 0, 0], [1, 0, 0, 0])]


def trained(world: World, rows: int, batches: int, file: str):
    """Losses of every step and the state after them."""
    model, losses = model_of("dunit", "--detector_weights", file, "--init_gain", "0.3"), []
    pairs = [pair_with(a, b, seed=10 * number) for number, (a, b) in enumerate(RAGGED)]
    mine = [dealt(world, pair, rows, batches) for pair in pairs]
    for update in updates(world, mine, lambda: 0):
        model.training_step(update)
        losses.append({name: loss.item() for name, loss in update.losses().items()})
    return losses, state_of(model)


def test_two_ranks_or_four_batches_with_ragged_objects_make_the_update_of_one_batch(tmp_path, detector):
    losses, state = trained(ALONE, 4, 1, detector)
    apart, state_apart = trained(ALONE, 1, 4, detector)
    assert_close(apart, losses, 1e-8)
    assert_close(state_apart, state, 1e-6)
    for of_rank, state_of_rank in on_ranks(2, tmp_path, trained, 2, 1, detector):
        assert_close(of_rank, losses, 1e-8)
        assert_close(state_of_rank, state, 1e-6)


@pytest.mark.parametrize("upsample", ["transposed", "resize_conv"])
def test_a_checkpoints_description_builds_the_translator_again_detector_included(detector, upsample):
    model = model_of("dunit", "--detector_weights", detector, "--upsample", upsample, double=False)
    scenes, style = pair_with([2, 1], [0, 0], double=False)["A"], torch.ones(2, 8)
    entries = described_translators(model, "AtoB")
    assert {(entry["source"], entry["target"]) for entry in entries} == {("A", "B"), ("B", "A")}
    (entry,) = (entry for entry in entries if entry["target"] == "B")
    described = Description.read(entry, "here")
    assert described.parts["detector"] == "detector" and described.needs == ("boxes", "style")
    networks = {name: network.state_dict() for name, network in model.networks.items()}
    again = described.build(described.joined(networks), "here")
    model.eval()
    assert torch.equal(again(scenes, style=style).image, model.translate(scenes, style=style).image)
    found = again.generator.detector.find(scenes.image)  # nothing, of one that has learnt nothing
    alone = again(scenes.slots(0, 0), style=style).image
    assert (found.slot_count == 0) == torch.equal(alone, model.translate(found, style=style).image)


def test_images_without_given_boxes_are_looked_at_and_others_are_not(detector, monkeypatch):
    model = model_of("dunit", "--detector_weights", detector, double=False).eval()
    given, style = pair_with([1, 0], [0, 0], double=False)["A"], torch.ones(2, 8)
    asked = []

    def find(images: Tensor) -> InstanceBatch:
        asked.append(len(images))
        return dataclasses.replace(boxes_only([2], seed=7), image=images)

    monkeypatch.setattr(model.detector, "find", find)
    made = model.translate(given, style=style).image
    assert asked == [1]
    alone = [model.translate(given[[row]], style=style[[row]]).image for row in (0, 1)]
    torch.testing.assert_close(made, torch.cat(alone))
    told = dataclasses.replace(boxes_only([2], seed=7), image=given.image[1:])
    assert torch.equal(model.translate(told, style=style[1:]).image, alone[1])
    looking = model_of("dunit", "--detector_weights", detector, double=False)
    looking.look_for_objects = True
    assert looking.needs == ("style",)


def test_no_graph_is_exported_that_would_leave_the_objects_out():
    ways = model_of("dunit", double=False).translators()
    with pytest.raises(InputError, match="a graph cannot look for objects.*; export to safetensors"):
        mini_batch_of(ways[A_TO_B].generator)
    assert mini_batch_of(ways[B_TO_A].generator)


def test_a_detector_of_other_classes_is_refused(detector):
    model = model_of("dunit", "--detector_weights", detector)
    for named in (["car", "person"], []):
        model.check_categories({"A": named, "B": []})
    for named in (["person", "car"], ["car"], ["car", "person", "sign"]):
        with pytest.raises(InputError, match=f"finds car, person, and the data set has {', '.join(named)};"):
            model.check_categories({"A": named, "B": []})
    model_of("dunit").check_categories({"A": ["sheep"], "B": []})


def test_flags_that_do_not_fit_are_told():
    with pytest.raises(InputError, match="--concat 1: --model dunit"):
        model_of("dunit", "--concat", "1")
    with pytest.raises(InputError, match="--object_size 18 must be a multiple of 4"):
        model_of("dunit", "--object_size", "18")
    with pytest.raises(InputError, match="--detector_weights nowhere.pth: no such file; make it with"):
        model_of("dunit", "--detector_weights", "nowhere.pth")
    assert isinstance(model_of("dunit"), DunitModel)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    root = draw_set(tmp_path_factory.mktemp("data"), "train", a=[2, 1], b=[1, 0])
    return draw_set(root, "val", a=[2, 0], b=[1, 0])


@pytest.fixture(scope="module")
def of_pictures(tmp_path_factory) -> str:
    """A detector of what those pictures show."""
    path = tmp_path_factory.mktemp("detector") / "detector.pth"
    write_detector(path, ObjectDetector("small", ("A",), 32), {})
    return str(path)


RUN = ("--model", "dunit", *OF_SMALL["dunit"], "--d_iter", "1", "--niter", "9", "--niter_decay", "0", "--no_html")


def test_a_run_that_has_begun_needs_the_detectors_file_no_more(pictures, of_pictures, tmp_path, capsys):
    file = tmp_path / "detector.pth"
    shutil.copy(of_pictures, file)
    flags = ("--name", "run", *RUN, "--detector_weights", str(file))
    assert train(pictures, tmp_path, *flags, "--max_steps", "1") == 0
    file.unlink()
    assert train(pictures, tmp_path, "--name", "run", "--max_steps", "2", "--continue_train") == 0
    state = torch.load(tmp_path / "run" / "latest.pth", weights_only=True)
    assert state["progress"]["steps"] == 2
    for name, weight in torch.load(of_pictures, weights_only=True)["weights"].items():
        assert torch.equal(state["networks"]["detector"][name], weight), name
    write_detector(file, ObjectDetector("small", ("sheep",), 48), {})  # another one by now
    assert translate(pictures, tmp_path, tmp_path / "results", "--name", "run", "--phase", "val") == 0
    example = ("--objects", "given", "--direction", "AtoB", "--style_image", str(pictures / "valB" / "b0.png"))
    assert translate(pictures, tmp_path, tmp_path / "given", "--name", "run", "--phase", "val", *example) == 0
    made = sorted(path.name for path in (tmp_path / "given" / "run" / "val_latest").glob("*fake*"))
    assert made == ["a0_fake_B_style0.png", "a1_fake_B_style0.png"]

    begun = ["--dataroot", pictures, "--checkpoints_dir", tmp_path, "--name", "run", "--device", "cpu"]
    told = sentence(capsys, train_program.main, *begun, "--continue_train", "--detector_weights", of_pictures)
    assert f"--detector_weights {of_pictures} contradicts the run, which was trained with" in told
    file.unlink()
    told = sentence(capsys, train_program.main, *begun[:4], "--name", "new", *TINY, *flags[2:])
    assert f"{file}: no such file" in told


def test_runs_of_train_py_without_any_box_are_those_of_drit_to_the_bit(tmp_path, of_pictures):
    data, state = draw_set(tmp_path / "data", "train", a=[0, 0], b=[1, 2]), {}
    own = {"drit": ("--concat", "0"), "dunit": ("--object_size", "16", "--detector_weights", of_pictures)}
    for name, flags in own.items():
        small = ("--model", name, "--name", name, "--dataset_mode", "unaligned_seg", *OF_SMALL["drit"], *flags)
        assert train(data, tmp_path, *small, "--niter", "9", "--max_steps", "3", "--no_html") == 0
        state[name] = torch.load(tmp_path / name / "latest.pth", weights_only=True)
    assert state["drit"]["progress"] == state["dunit"]["progress"]
    for name, network in state["drit"]["networks"].items():
        for key, weight in network.items():
            assert torch.equal(weight, state["dunit"]["networks"][name][key]), (name, key)
