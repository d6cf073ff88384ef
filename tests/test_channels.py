"""Images that are no RGB pictures of 8 bits, through all programs: 16-bit grey to RGB, arrays of many channels."""

import copy
import pickle
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.cache import DiskCache
from data.checking.checking import check
from data.decoded import decode
from data.folders import list_domain
from data.placement import Framing, resize_pixels
from data.transport import collate_packed
from data.unaligned_instance_dataset import DomainDataset, UnalignedInstanceDataset
from evaluation.pictures import outcome_of
from instagan import InputError, Translator
from instagan.cli.main import main
from instagan.inference.exporting.checking import random_inputs
from instagan.inference.exporting.mini_batch import all_present, mini_batch_of
from instagan.io.formats import Format, formats_of
from instagan.io.reading import ALL_LEVELS, read_picture
from instagan.io.value_files import read_values
from instagan.metrics.judges import Judges, References
from instagan.metrics.measuring import measure
from instagan.networks.generators import SetGenerator
from instagan.structures.instances import InstanceBatch
from models import MODELS
from options.parse import parse_training
from tests.batches import random_pair, trained_on
from tests.planting import noise, write_deep_colours
from tests.programs import ROOT, draw_set, sentence, tiny, train, train_program, translate
from tests.using import tiny_run, with_small_masks

INFRARED = ("--input_nc", "1", "--input_range", "0-4095", "--output_range", "0-65535")
"""A is 12 bits of one channel in files of 16, B is RGB."""


def in_infrared(root: Path, phase: str = "train") -> Path:
    """Pictures of A as 16-bit grey of 0 to 4080, a few pixels above the range."""
    draw_set(root, phase, [1, 2, 0], [3, 1, 2])
    for path in (root / f"{phase}A").iterdir():
        values = np.asarray(Image.open(path)).astype(np.uint16).max(2) * 16
        values[0, :3] = 5000
        Image.fromarray(values).save(path)
    return root


@pytest.fixture(scope="module")
def infrared(tmp_path_factory):
    """Folder of the set and of a run that made three steps, the last one after resuming."""
    root = in_infrared(tmp_path_factory.mktemp("infrared"))
    run = ("--name", "run", "--no_html", "--no_flip")
    assert train(root, root / "runs", *run, *INFRARED, "--max_steps", "2") == 0
    assert train(root, root / "runs", "--name", "run", "--continue_train", "--max_steps", "3") == 0
    return root


def test_a_run_from_one_channel_to_three_resumes_and_translates_to_files_of_each_kind(infrared, capsys):
    assert (
        train(infrared, infrared / "runs", "--name", "whole", "--no_html", "--no_flip", *INFRARED, "--max_steps", "3")
        == 0
    )
    assert "no identity and context loss" in capsys.readouterr().out
    whole, resumed = (torch.load(infrared / "runs" / name / "latest.pth") for name in ("whole", "run"))
    for name, weights in whole["networks"].items():
        assert all(torch.equal(weights[key], resumed["networks"][name][key]) for key in weights)
    assert translate(infrared, infrared / "runs", infrared / "results", "--name", "run", "--phase", "train") == 0
    folder = infrared / "results" / "run" / "train_latest"
    for stem in ("b0_fake_A", "a0_rec_A", "a2_rec_A"):  # a2 shows nobody, and is translated all the same
        values = read_values(folder / f"{stem}_values.png")
        assert values.shape == (32, 32, 1) and values.dtype == np.uint16 and 0 < values.max() <= 4095
    assert Image.open(folder / "a2_fake_B.png").mode == "RGB" and not (folder / "a2_fake_B_values.png").exists()
    assert (folder / "a1_fake_B_mask_1.png").exists()


def test_the_translator_and_translate_give_what_the_domain_is_kept_as(infrared, tmp_path, capsys):
    where, masks = infrared / "trainA" / "a1.png", [infrared / "trainA_seg" / f"a1_{k}.png" for k in range(2)]
    there = Translator.load(infrared / "runs" / "run")
    made = there(where, masks, tensors=True)
    assert made.values is None and made.image.shape[0] == 3 and made.present == (True, True)
    assert not there(infrared / "trainA" / "a2.png").unchanged
    same = there(read_values(where), masks, tensors=True)
    assert torch.equal(same.image, made.image)
    back = Translator.load(infrared / "runs" / "run", to="a")
    assert back(infrared / "trainB" / "b0.png").values.shape == (36, 40, 1)
    with pytest.raises(InputError, match="5 channels; the model was trained with 1"):
        there(np.zeros((8, 8, 5), np.uint16))
    with pytest.raises(InputError, match="other channels"):
        there(where, masks, paste_background=True)
    words = ["translate", "--model", str(infrared / "runs" / "run"), "--device", "cpu"]
    files = [
        "--images",
        str(infrared / "trainB"),
        "--masks_dir",
        str(infrared / "trainB_seg"),
        "--output_dir",
        str(tmp_path),
    ]
    assert main([*words, "--to", "a", *files]) == 0
    assert read_values(tmp_path / "b1.png").dtype == np.uint16
    one = ["--image", str(infrared / "trainB" / "b1.png"), "--masks", str(infrared / "trainB_seg" / "b1_0.png")]
    assert main([*words, "--to", "a", *one, "--output", str(tmp_path / "y.npy")]) == 0
    assert np.array_equal(read_values(tmp_path / "y.npy"), read_values(tmp_path / "b1.png"))
    assert "RGB images" in sentence(
        capsys, main, "translate", *words[1:], "--video", where, "--masks_dir", infrared, "--output", tmp_path / "y.mp4"
    )


def deep_run(tmp_path: Path, channels: int, kind: str):
    """A run between two domains of as many channels, which says that it was trained on such files."""
    numbers = ["--input_nc", str(channels), "--output_nc", str(channels)]
    kinds = ["--input_kind", kind, "--output_kind", kind, "--input_range", "100:3000"]
    run, _ = tiny_run(tmp_path / "runs", "run", *numbers, *kinds)
    return Translator.load(with_small_masks(run))


@pytest.mark.parametrize("how", [{}, {"max_side": 24}, {"crop_instances": True, "max_side": 24}])
def test_a_pasted_background_keeps_the_values_of_the_file(tmp_path, how):
    values = np.random.default_rng(0).integers(0, 65536, (48, 40, 2), np.uint16)  # also beyond the range
    np.save(tmp_path / "x.npy", values)
    inside = np.zeros((48, 40), bool)
    inside[20:32, 8:20] = True
    made = deep_run(tmp_path, 2, "uint16.npy")(tmp_path / "x.npy", [inside], paste_background=True, feather=0, **how)
    free = ~(inside | made.inside[0])
    assert free.any() and made.values.dtype == np.uint16
    assert np.array_equal(made.values[free], values[free])
    assert not np.array_equal(made.values[inside], values[inside]) and made.seam is not None


def test_a_picture_without_instances_keeps_the_values_of_the_file(tmp_path):
    values = np.random.default_rng(0).normal(1000, 2000, (16, 12, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", values)
    made = deep_run(tmp_path, 3, "float32.npy")(tmp_path / "x.npy")
    assert made.unchanged and np.array_equal(made.values, values)


@pytest.mark.parametrize(("method", "a", "b"), [("cut", 4, 4), ("one_way_insta_gan", 2, 2), ("cycle_gan_seg", 1, 4),
                                                ("cycle_gan", 5, 2), ("insta_gan", 1, 1)])  # fmt: skip
def test_methods_learn_from_other_channels(method, a, b):
    typed = tiny("--dataroot", str(ROOT), "--model", method, "--input_nc", str(a), "--output_nc", str(b))
    torch.manual_seed(0)
    model = MODELS[method].from_options(parse_training(typed).values)
    pair = random_pair([2, 1], [1, 3])
    channels = {"A": a, "B": b}
    pair = type(pair)(
        {
            letter: batch.with_image(torch.randn(2, channels[letter], 32, 32).clamp(-1, 1))
            for letter, batch in pair.domains.items()
        },
        pair.paths,
    )
    before = copy.deepcopy(model.state_dict())
    trained_on(model, pair)
    assert any(
        not torch.equal(before[name], tensor)
        for name, tensor in model.state_dict().items()
        if name.startswith("networks.G_A")
    )
    assert model.translate(pair["A"], "b").image.shape == (2, b, 32, 32)


def test_equal_channels_of_three_are_what_they_were():
    """The flags say 3 where nobody types them, and a checkpoint says nothing of them."""
    for method in ("insta_gan", "cycle_gan", "cut"):
        model = MODELS[method].from_options(parse_training(tiny("--dataroot", str(ROOT), "--model", method)).values)
        (config, *_) = (one.description()["config"] for one in model.translators().values())
        assert not {"input_nc", "output_nc", "channels"} & set(config)


def test_a_disk_cache_and_transport_keep_floats_to_the_bit(tmp_path):
    root = in_infrared(tmp_path)
    formats = formats_of({"input_nc": 1, "input_range": "0-4095"})
    framing = Framing("resize_and_crop", (36, 36), (32, 32), random=True, flip=True)
    a, b = (
        [type(one)(one.picture, one.masks, format=formats[letter]) for one in list_domain(root, "train", letter, True)]
        for letter in "AB"
    )
    cached = DiskCache(tmp_path / "cache", 2**24)
    plain, kept = (UnalignedInstanceDataset(a, b, framing, 0, False, read=read) for read in (decode, cached))
    for index in (0, 1, 0):
        one, other = plain[1, index], kept[1, index]
        assert torch.equal(one[0].image, other[0].image) and torch.equal(one[1].image, other[1].image)
        assert one[0].deep and not one[1].deep
    sent = pickle.loads(bytes(ForkingPickler.dumps(collate_packed([plain[1, 0]]))))
    for place, letter in enumerate("AB"):
        assert torch.equal(sent[letter].image[0], plain[1, 0][place].image)
    wrong = type(a[0])(a[0].picture, a[0].masks, format=Format(2, flags="input"))
    with pytest.raises(InputError, match=r"a0\.png has 1 channel and --input_nc is 2"):
        DomainDataset([wrong], framing)[0]


def test_the_check_reads_what_training_reads(tmp_path):
    root = in_infrared(tmp_path)
    np.save(root / "trainA" / "a3.npy", np.zeros((36, 40), np.uint16))  # not read beside pictures
    right = formats_of({"input_nc": 1, "input_range": "0-4095"})
    assert {one.code for one in check(root, formats=right).findings} <= {"other_file", "picture_without_masks"}
    (wrong, *_) = [
        one for one in check(root, formats={"A": Format(2, flags="input")}).findings if one.code == "refused"
    ]
    assert wrong.file == "trainA/a0.png" and wrong.message.startswith("has 1 channel and --input_nc is 2")


def test_exported_functions_take_and_give_the_channels_of_the_model():
    generator = SetGenerator(4, blocks=1, input_nc=1, output_nc=4).eval()
    function = mini_batch_of(generator)
    inputs = random_inputs(16, 24, 2, torch.Generator().manual_seed(0), function.channels)
    with torch.inference_mode():
        image, _ = function(*inputs)
        made = generator(all_present(*inputs))
    assert inputs[0].shape == (1, 1, 16, 24) and image.shape == (1, 4, 16, 24)
    assert torch.allclose(image, made.image, atol=1e-5)


def test_backgrounds_are_measured_in_values_and_only_where_they_can_be_compared():
    def error(channels: int) -> float | None:
        """Of a translation that adds 0.001 to one channel, which 8 bits do not show."""
        images = torch.zeros(1, 1, 8, 8), torch.full((1, channels, 8, 8), 0.001)
        real, fake = (InstanceBatch.from_masks(image, torch.full((1, 1, 8, 8), -1.0)) for image in images)
        judges, wanted = Judges.offline(torch.device("cpu")), ("background_mae",)
        (row,) = measure([outcome_of("x", real, fake)], References([], []), judges, (0,), wanted).rows
        return row.plain.get("background_mae")

    assert error(1) == pytest.approx(0.0005, rel=1e-2)
    assert error(3) is None


def test_floats_are_resized_as_levels_are_but_for_rounding():
    levels = np.random.default_rng(0).integers(60, 200, (30, 40, 3), np.uint8)
    whole, floats = (resize_pixels(one, (23, 17)) for one in (levels, (levels / 255).astype(np.float32)))
    assert floats.dtype == np.float32 and np.abs(floats * 255 - whole).max() <= 2


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colours_of_16_bits_are_not_taken_for_values(tmp_path, channels):
    """Pillow gives 8 of their bits: a range of 12 bits would leave 4, black."""
    path, values = tmp_path / "p.png", noise(channels=channels).astype(np.uint16) * 16
    write_deep_colours(path, values)
    assert np.asarray(read_picture(path)).max() == 15
    assert Format(levels=ALL_LEVELS).read(path).max() == 15
    for format in (Format(levels=(0, 4095)), Format(1, (0, 4095)), Format(channels, kind="uint16.npy")):
        if not format.reads_rgb(path) or format.levels:
            with pytest.raises(InputError, match=r"p\.png has colours of 16 bits, of which 8 are read"):
                format.read(path)
    np.save(tmp_path / "p.npy", values)
    read = Format(channels, (0, 4095)).read(tmp_path / "p.npy")
    assert np.array_equal(np.rint(read * 4095), values)


def test_training_tells_that_colours_of_16_bits_lose_half(tmp_path, capsys):
    draw_set(tmp_path, "train", [1], [1])
    write_deep_colours(tmp_path / "trainA" / "a0.png", noise().astype(np.uint16) * 257)
    flags = ("--name", "run", "--no_html", "--max_steps", "1")
    assert train(tmp_path, tmp_path / "runs", *flags) == 0
    (told,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")]
    assert "a0.png has colours of 16 bits, of which 8 are read; save such images as .npy" in told
    assert train(tmp_path, tmp_path / "other", *flags, "--input_range", "0-4095") == 2
    assert "a0.png has colours of 16 bits, of which 8 are read, so that a range" in capsys.readouterr().err


def test_the_file_and_the_flag_are_named_before_training(tmp_path, capsys):
    draw_set(tmp_path, "train", [1], [1])
    np.save(tmp_path / "stack.npy", np.zeros((36, 40, 7), np.uint16))
    (tmp_path / "trainA" / "a0.png").unlink()
    (tmp_path / "stack.npy").rename(tmp_path / "trainA" / "a0.npy")
    words = ["--dataroot", tmp_path, "--checkpoints_dir", tmp_path / "runs", "--name", "run", *tiny()]
    told = sentence(capsys, train_program.main, *words, "--input_nc", "4")
    assert "a0.npy has 7 channels and --input_nc is 4; pass --input_nc 7" in told
    assert not (tmp_path / "runs").exists()
