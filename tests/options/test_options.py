"""Every published flag means what it meant; whatever is wrong is one sentence, and the exit code is 2."""

import math
from pathlib import Path

import configargparse
import pytest
import torch
import yaml
from PIL import Image

from engine.device import choose_device, workers
from engine.optimizer import set_learning_rates
from engine.run_folder import RunFolder
from engine.schedule import Progress
from options import flags
from options.build import build_model, learning_rate, training_dataset
from options.parse import REFUSED, parse_testing, parse_training, whole_framing
from tests.programs import OF_SMALL, TINY, draw_set, sentence, test_program, train, train_program, translate

TRAINING = {
    "batch_size": 1, "load_size_w": 220, "load_size_h": 220, "fine_size_w": 200, "fine_size_h": 200,
    "display_winsize": 256, "input_nc": 3, "output_nc": 3, "ngf": 64, "ndf": 64, "netD": "set", "netG": "set",
    "n_layers_D": 3, "gpu_ids": None, "name": "experiment_name", "dataset_mode": "unaligned_seg",
    "model": "insta_gan", "direction": "AtoB", "epoch": "latest", "load_iter": 0, "num_threads": 4,
    "checkpoints_dir": "./checkpoints", "norm": "instance", "serial_batches": False, "no_dropout": False,
    "max_dataset_size": math.inf, "resize_or_crop": "resize_and_crop", "no_flip": False, "init_type": "normal",
    "init_gain": 0.02, "verbose": False, "suffix": "",
    "display_freq": 400, "display_ncols": 6, "display_id": 1, "display_server": "http://localhost",
    "display_env": "main", "display_port": 8097, "update_html_freq": 1000, "print_freq": 100,
    "save_latest_freq": 5000, "save_epoch_freq": 5, "save_by_iter": False, "continue_train": False,
    "epoch_count": 1, "phase": "train", "niter": 100, "niter_decay": 100, "beta1": 0.5, "lr": 0.0002,
    "no_lsgan": False, "pool_size": 50, "no_html": False, "lr_policy": "lambda", "lr_decay_iters": 50,
    "set_order": "decreasing", "ins_max": 4, "ins_per": 2, "lambda_A": 10, "lambda_B": 10, "lambda_idt": 1,
    "lambda_ctx": 1,
}  # fmt: skip
"""The published flags of train.py with their published defaults (gpu_ids: the first GPU if there is one)."""

TESTING = {
    "results_dir": "./results/", "aspect_ratio": 1.0, "phase": "test", "eval": False, "num_test": 50, "ins_per": 2,
    "set_order": "decreasing", "epoch": "latest", "load_iter": 0, "batch_size": 1, "num_threads": 4,
    "serial_batches": False, "no_flip": False, "max_dataset_size": math.inf, "display_winsize": 256,
}  # fmt: skip

ALIASES = {
    "loadSizeW": "load_size_w", "loadSizeH": "load_size_h", "fineSizeW": "fine_size_w", "fineSizeH": "fine_size_h",
}  # fmt: skip


def words(argv: str) -> list[str]:
    return argv.split(" ")


def values(*argv: str):
    return parse_training(["--dataroot", "D", *argv]).values


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder with a run "run" of train.py (ngf 4, 36 -> 32 pixels) and its data, which has no test phase."""
    folder = tmp_path_factory.mktemp("trained")
    draw_set(folder / "data", "train", a=(1, 2), b=(1,))
    draw_set(folder / "data", "val", a=(1,), b=(1,))
    flags = ("--name", "run", "--max_steps", "1", "--no_html", "--lambda_ctx", "0.5", "--ins_per", "3", "--seed", "7")
    assert train(folder / "data", folder / "runs", *flags) == 0
    return folder


def options_of_test(trained: Path, *argv: str):
    where = ["--dataroot", str(trained / "data"), "--checkpoints_dir", str(trained / "runs"), "--name", "run"]
    return parse_testing([*where, *argv]).values


@pytest.mark.parametrize("flag", TRAINING)
def test_published_flags_of_training_have_their_published_defaults(flag):
    assert vars(values())[flag] == TRAINING[flag]


@pytest.mark.parametrize("flag", TESTING)
def test_published_flags_of_testing_have_their_published_defaults(trained, flag):
    expected = TESTING[flag] if flag != "ins_per" else 3  # the run's own
    assert vars(options_of_test(trained))[flag] == expected


@pytest.mark.parametrize("flag", [flag for flag in TRAINING if flag not in ("continue_train", "epoch_count")])
def test_published_flags_can_be_typed(flag):
    default = TRAINING[flag]
    typed = [f"--{flag}"] if isinstance(default, bool) else [f"--{flag}", "0" if default is None else str(default)]
    expected = True if isinstance(default, bool) else "0" if default is None else default
    assert vars(values(*typed))[flag] == expected


@pytest.mark.parametrize("alias", ALIASES)
def test_published_spellings_are_accepted(alias):
    assert vars(values(f"--{alias}", "208"))[ALIASES[alias]] == 208


def test_the_published_training_command_parses():
    typed = "--model insta_gan --name N --loadSizeH 220 --loadSizeW 200 --fineSizeH 200 --fineSizeW 160"
    found = values(*words(typed), *words("--niter 90 --niter_decay 80 --batch_size 4"))
    assert (found.model, found.name, found.batch_size, found.niter, found.niter_decay) == ("insta_gan", "N", 4, 90, 80)
    assert (found.load_size_h, found.load_size_w, found.fine_size_h, found.fine_size_w) == (220, 200, 200, 160)


def test_the_published_testing_command_parses(trained):
    typed = "--model insta_gan --loadSizeH 200 --loadSizeW 160 --fineSizeH 200 --fineSizeW 160 --ins_per 2 --ins_max 20"
    found = options_of_test(trained, *words(typed), *words("--phase sample --epoch 200"))
    assert (found.load_size_h, found.load_size_w, found.fine_size_h, found.fine_size_w) == (200, 160, 200, 160)
    assert (found.ins_per, found.ins_max, found.phase, found.epoch) == (2, 20, "sample", "200")


def test_one_size_stands_for_both_sides_unless_a_side_is_typed():
    found = values("--load_size", "64", "--load_size_w", "72", "--crop_size", "48")
    assert (found.load_size_w, found.load_size_h, found.fine_size_w, found.fine_size_h) == (72, 64, 48, 48)


def test_a_config_file_and_flags_are_one_thing(tmp_path):
    typed = "--ngf 8 --load_size_h 64 --load_size_w 72 --fine_size 48 --no_flip --lr 0.001 --max_dataset_size 9"
    content = {
        "ngf": 8, "loadSizeH": 64, "load_size_w": 72, "fine_size": 48, "no_flip": True, "lr": 0.001,
        "max_dataset_size": 9, "no_html": False,
    }  # fmt: skip
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
    resolved = [
        parse_training(["--dataroot", "D", *way]) for way in (typed.split(), ["--config", f"{tmp_path}/c.yaml"])
    ]
    one, other = (vars(each.values) | {"config": None} for each in resolved)
    assert one == other
    assert resolved[0].changed == resolved[1].changed
    assert values("--config", f"{tmp_path}/c.yaml", "--ngf", "16").ngf == 16


def test_a_config_file_can_choose_the_method(tmp_path):
    (tmp_path / "c.yaml").write_text("model: cycle_gan\nwith_masks: true\n")
    found = values("--config", f"{tmp_path}/c.yaml")
    assert (found.model, found.with_masks, found.dataset_mode) == ("cycle_gan", True, "unaligned_seg")


@pytest.mark.parametrize(
    "argv",
    [
        "",
        "--suffix {ngf} --gpu_ids -1",
        "--display_id -1",
        "--model cycle_gan --with_masks --max_steps 3",
        "--load_size 64 --fine_size 48",
    ],
)
def test_saved_options_can_be_used_as_a_config_file(tmp_path, argv):
    first = values(*argv.split())
    run = RunFolder(tmp_path, "run")
    run.create()
    run.save_options(first)
    again = parse_training(["--config", str(run.path / "options.yaml")]).values
    assert vars(again) | {"config": None} == vars(first)


def test_changed_values_are_marked_in_the_table():
    lines = parse_training(["--dataroot", "D", "--ngf", "8", "--ndf", "64", "--fine_size", "48"]).table().splitlines()
    marked = {line.split()[1].removesuffix(":") for line in lines if line.startswith("*")}
    assert marked == {"dataroot", "ngf", "fine_size_w", "fine_size_h"}


@pytest.mark.parametrize(
    "argv, name",
    [
        ("--name x --suffix {model}_{netG}_size{loadSizeW}", "x_insta_gan_set_size220"),
        ("--name x --suffix {ngf}x{fine_size_h}", "x_64x200"),
        ("--name x --suffix plain", "x_plain"),
        ("--name a/b", "a/b"),
    ],
)
def test_a_suffix_is_filled_in(argv, name):
    assert values(*argv.split()).name == name


WRONG = {
    "--ngff 4": "did you mean --ngf?",
    "--batchsize 4": "did you mean --batch_size?",
    "--loadSizeX 4": "did you mean --loadSizeW?",
    "--zzz 4": "unknown flag --zzz",
    "--zzz=4": "unknown flag --zzz",
    "stray": "unknown flag stray",
    "--batch_size 0": "--batch_size: '0'",
    "--batch_size 1.5": "'1.5' is not a whole number",
    "--batch_size": "--batch_size: expected one argument",
    "--lr 0": "--lr: '0'",
    "--lr nan": "--lr: 'nan'",
    "--lr inf": "--lr: 'inf'",
    "--beta1 1": "--beta1: '1'",
    "--lambda_A -1": "--lambda_A: '-1'",
    "--niter -1": "--niter: '-1'",
    "--niter 0 --niter_decay 0": "leave no epoch",
    "--epoch_count 201": "--epoch_count 201 is after the last epoch",
    "--ins_max 0": "--ins_max: '0'",
    "--ins_per 0": "--ins_per: '0'",
    "--set_order up": "'decreasing', 'random'",
    "--seed -1": "--seed: '-1'",
    "--max_steps 0": "--max_steps: '0'",
    "--n_layers_D 7": "--n_layers_D: '7'",
    "--max_dataset_size 0": "--max_dataset_size: '0'",
    "--max_dataset_size 0.5": "leaves no image",
    "--num_threads -1": "--num_threads: '-1'",
    "--display_port 70000": "--display_port: '70000'",
    "--serial_batches=yes": "--serial_batches",
    "--load_size 32 --fine_size 48": "--fine_size_w 48 does not fit into --load_size_w 32",
    "--fine_size 30": "--fine_size_w 30 must be a multiple of 4",
    "--fine_size 4": "8 or more",
    "--fine_size 20": "--fine_size_w 20 is too small for --n_layers_D 3: use 24",
    "--batch_size 2 --resize_or_crop none": "needs images of one size",
    "--model munit --input_nc 1": "--input_nc 1: --model munit works on RGB images alone; use 3",
    "--model cut --input_nc 1": "--input_nc 1 and --output_nc 3: --model cut compares images",
    "--instance_crops --input_nc 1": "--instance_crops works on RGB images",
    "--input_range 3:1": "'3:1' is not a range",
    "--output_kind png": "'png' is not a type and an ending",
    "--gpu_ids 98,99": "use --gpu_ids -1 for the CPU",
    "--gpu_ids two": "pass the numbers of GPUs",
    "--gpu_ids 0,": "pass the numbers of GPUs",
    "--gpu_ids 0,-1": "pass the numbers of GPUs",
    "--gpu_ids 0,0": "names a GPU twice",
    "--gpu_ids 99": "--gpu_ids 99: this machine has",
    "--gpu_ids 0,1 --device cuda:1": "contradict",
    "--gpu_ids 0 --device cpu": "contradict",
    "--device cuda:99": "--device cuda:99: this machine has",
    "--device toaster": "--device toaster: use auto",
    "--device cpu:3": "--device cpu:3",
    "--epoch last": "--epoch last: pass the number of an epoch",
    "--epoch ../run/latest": "pass the number of an epoch",
    "--name ../x": "--name '../x' must be",
    "--name /abs": "--name '/abs' must be",
    "--name ..": "--name '..' must be",
    "--name .": "--name '.' must be",
    "--name ~/x": "must be the name of a folder",
    "--name a/../../x": "must be the name of a folder",
    "--name ": "--name '' must be",
    "--name two\nlines": r"--name 'two\nlines' must be",
    "--suffix /../../x": "must be the name of a folder",
    "--suffix {no_such}": "there is no flag no_such",
    "--suffix {": "--suffix { cannot be filled in",
    "--suffix {}": "cannot be filled in",
    "--suffix {ngf:zz}": "cannot be filled in",
    "--suffix {ngf.zz}": "cannot be filled in",
    "--phase ../x": "--phase ../x must be",
    "--phase trian": "use --phase train",
    "--phase test": "use --phase val",
    "--config no_such_file.yaml": "no_such_file.yaml",
    "--dataroot no_such_folder": "--dataroot no_such_folder: no such folder",
}


@pytest.mark.parametrize("argv", WRONG)
def test_wrong_input_to_training_is_one_sentence(trained, tmp_path, capsys, argv):
    where = ("--dataroot", trained / "data", "--checkpoints_dir", tmp_path / "runs")
    assert WRONG[argv] in sentence(capsys, train_program.main, *where, *TINY[:4], "--display_id", "0", *words(argv))
    assert not (tmp_path / "runs").exists()


WRONG_IN_TESTING = {
    "": "testA: no such folder, but there is trainA, valA; use --phase val",
    "--phase val --ngf 8": "--ngf 8 contradicts the run, which was trained with --ngf 4",
    "--phase val --model cycle_gan": "--model cycle_gan contradicts the run, which was trained with --model insta_gan",
    "--phase val --norm none": "--norm none contradicts the run, which was trained with --norm instance",
    "--phase val --n_layers_D 2": "--n_layers_D 2 contradicts the run, which was trained with --n_layers_D 3",
    "--name nobody": "--name nobody: no such run; there are: run",
    "--name ../run": "must be the name of a folder",
    "--epoch 3": "3.pth: no such checkpoint; there are: latest",
    "--load_iter 500": "iter_500.pth: no such checkpoint",
    "--niter 3": "unknown flag --niter",
    "--num_test 0": "--num_test: '0'",
    "--aspect_ratio 0": "--aspect_ratio: '0'",
    "--direction AB": "--direction: invalid choice: 'AB'",
    "--phase ../data/val": "--phase ../data/val must be",
    "--phase val --fine_size 4": "8 or more",
    "--phase val --device toaster": "--device toaster",
    "--phase val --resize_or_crop none --batch_size 2": "needs images of one size",
}


@pytest.mark.parametrize("argv", WRONG_IN_TESTING)
def test_wrong_input_to_testing_is_one_sentence(trained, tmp_path, capsys, argv):
    where = ("--dataroot", trained / "data", "--checkpoints_dir", trained / "runs", "--results_dir", tmp_path / "out")
    said = sentence(capsys, test_program.main, *where, "--name", "run", *argv.split())
    assert WRONG_IN_TESTING[argv] in said
    assert not (tmp_path / "out").exists()


def test_a_missing_data_root_is_named(capsys, trained):
    assert "--dataroot is missing" in sentence(capsys, train_program.main)
    run = ("--checkpoints_dir", trained / "runs", "--name", "run")
    assert "--dataroot is missing" in sentence(capsys, test_program.main, *run)


def test_files_in_place_of_folders_are_named(trained, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    data = ("--dataroot", trained / "data", *TINY)
    runs = ("--checkpoints_dir", trained / "runs", "--name", "run", "--phase", "val", "--dataroot", trained / "data")
    assert str(file) in sentence(capsys, train_program.main, *data, "--checkpoints_dir", file)
    assert str(file) in sentence(capsys, train_program.main, *data, "--checkpoints_dir", file, "--continue_train")
    assert str(file) in sentence(capsys, train_program.main, *TINY, "--dataroot", file)
    assert str(file) in sentence(capsys, test_program.main, *runs, "--results_dir", file)
    assert str(file) in sentence(capsys, test_program.main, *runs, "--checkpoints_dir", file)
    file.write_text("ngf: [4")
    assert "file" in sentence(capsys, train_program.main, *data, "--config", file)


@pytest.mark.parametrize("flag, value", REFUSED)
def test_published_values_that_do_not_exist_here_are_refused_with_the_reason(capsys, flag, value):
    assert REFUSED[flag, value] in sentence(capsys, train_program.main, "--dataroot", "D", f"--{flag}", value)


@pytest.mark.parametrize("model", ["insta_gan", "cycle_gan"])
@pytest.mark.parametrize("program", [train_program, test_program], ids=["train", "test"])
def test_help_names_every_flag_and_succeeds(program, model, capsys):
    with pytest.raises(SystemExit) as caught:
        program.main(["--help", "--model", model])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert f"\n{model}:" in shown and "--lambda_A" in shown and "--dataroot DIR" in shown


def test_a_data_set_without_any_mask_is_refused_where_instances_are_needed(tmp_path, capsys):
    draw_set(tmp_path, "train", a=(0, 0), b=(0,))
    where = ("--dataroot", tmp_path, "--checkpoints_dir", tmp_path / "runs", *TINY)
    for more in ((), ("--dataset_mode", "unaligned"), ("--model", "cycle_gan", "--with_masks")):
        assert "has an instance" in sentence(capsys, train_program.main, *where, *more)
    assert train(tmp_path, tmp_path / "runs", "--model", "cycle_gan", "--max_steps", "1", "--no_html") == 0


def test_continuing_takes_the_options_of_the_run_over(trained):
    found = parse_training(["--checkpoints_dir", str(trained / "runs"), "--name", "run", "--continue_train"])
    kept = {
        "ngf": 4,
        "lambda_ctx": 0.5,
        "ins_per": 3,
        "seed": 7,
        "load_size_w": 36,
        "fine_size_h": 32,
        "max_steps": None,
    }
    kept |= {"dataroot": str(trained / "data"), "continue_train": True, "no_html": True, "niter": 100}
    assert {name: value for name, value in vars(found.values).items() if name in kept} == kept
    typed = ["--continue_train", "--name", "run", "--checkpoints_dir", str(trained / "runs")]
    assert parse_training([*typed, "--niter", "7", "--ins_per", "1"]).values.niter == 7


def test_continuing_cannot_change_the_networks(trained, capsys):
    where = ("--checkpoints_dir", trained / "runs", "--name", "run", "--continue_train")
    said = sentence(capsys, train_program.main, *where, "--ngf", "8")
    assert "--ngf 8" in said and "--ngf 4" in said
    said = sentence(capsys, train_program.main, *where, "--model", "cycle_gan")
    assert "cycle_gan" in said and "insta_gan" in said
    assert parse_training([str(word) for word in (*where, "--ngf", "4")]).values.ngf == 4
    said = sentence(capsys, train_program.main, *where, "--direction", "BtoA")
    assert "--direction BtoA contradicts the run, which was trained with --direction AtoB" in said


def test_continuing_needs_a_run(trained, tmp_path, capsys):
    where = ("--checkpoints_dir", trained / "runs", "--continue_train", "--name", "new")
    assert "--name new: no such run; there are: run" in sentence(capsys, train_program.main, *where)
    assert "there is none" in sentence(
        capsys, train_program.main, "--continue_train", "--checkpoints_dir", tmp_path / "nowhere"
    )


def test_testing_takes_what_shapes_the_result_from_the_run(trained):
    found = options_of_test(trained)
    assert (found.ngf, found.ins_per, found.ins_max, found.dataset_mode) == (4, 3, None, "unaligned_seg")
    assert (found.load_size_w, found.load_size_h, found.fine_size_w, found.fine_size_h) == (32, 32, 32, 32)
    assert options_of_test(trained, "--ins_per", "1").ins_per == 1


def test_whole_images_are_tested_also_where_training_cropped_them():
    sizes = {"load_size_w": 96, "load_size_h": 64, "fine_size_w": 64, "fine_size_h": 48}
    cropped = {**sizes, "load_size_w": 64, "load_size_h": 48}
    wanted = {
        "resize_and_crop": ("resize_and_crop", cropped), "crop": ("crop", cropped),
        "scale_width": ("scale_width", sizes), "scale_width_and_crop": ("scale_width", sizes),
    }  # fmt: skip
    for mode, (tested, told) in wanted.items():
        assert whole_framing({"resize_or_crop": mode, **sizes}) == {"resize_or_crop": tested, **told}


def test_a_run_on_crops_of_scaled_images_is_tested_on_whole_ones(tmp_path):
    """40 x 24 pixels at a width of 40, cropped to 24 x 24: 24 is too narrow for the crop, and shows a part."""
    data = draw_set(tmp_path / "data", "train", a=(1,), b=(1,), size=(40, 24))
    mode = ("--resize_or_crop", "scale_width_and_crop", "--load_size", "40", "--fine_size", "24")
    assert train(data, tmp_path / "runs", "--name", "run", "--max_steps", "1", "--no_html", *mode) == 0
    assert translate(data, tmp_path / "runs", tmp_path, "--name", "run", "--phase", "train") == 0
    shown = Image.open(tmp_path / "run" / "train_latest" / "a0_fake_B.png")
    assert shown.size == (40, 24)


def test_testing_writes_nothing_into_the_run(trained, tmp_path):
    before = {path: path.read_bytes() for path in (trained / "runs").rglob("*") if path.is_file()}
    assert translate(trained / "data", trained / "runs", tmp_path, "--name", "run", "--phase", "val") == 0
    assert {path: path.read_bytes() for path in (trained / "runs").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "argv, device",
    [("", None), ("--device cpu", "cpu"), ("--gpu_ids -1", "cpu"), ("--gpu_ids=-1 --device cpu", "cpu")],
)
def test_devices(argv, device):
    found = choose_device(values(*argv.split()))
    assert device is None or found.type == device


def test_more_workers_than_processors_are_not_started():
    assert workers(values("--num_threads", "100000")) < 100000
    assert workers(values("--num_threads", "0")) == 0


def test_direction_exchanges_the_domains(trained):
    where = ("--dataroot", str(trained / "data"))
    (forwards, said, _), (backwards, said_back, _) = (
        training_dataset(values(*where, "--direction", direction)) for direction in ("AtoB", "BtoA")
    )
    names = [[[entry.picture for entry in of] for of in (found.a, found.b)] for found in (forwards, backwards)]
    assert names[0] == names[1][::-1] and names[0][0] != names[0][1]
    assert [line[:6] for line in said] == ["trainA", "trainB"] == [line[:6] for line in reversed(said_back)]


def test_no_flag_is_declared_twice_with_two_defaults():
    """Common flags keep their default in both programs, or test.py would silently see other values."""
    declared = []
    for add in (flags.add_training, flags.add_testing):
        parser = configargparse.ArgumentParser(add_help=False)
        flags.add_common(parser)
        add(parser)
        declared.append({action.dest: action.default for action in parser._actions})
    differing = {name for name in declared[0].keys() & declared[1].keys() if declared[0][name] != declared[1][name]}
    assert differing == {"phase", "direction"}


def test_both_learning_rates_follow_the_schedule():
    found = values("--lr", "0.1", "--lr_D", "0.2", "--niter", "2", "--niter_decay", "3", "--ngf", "2", "--ndf", "2")
    optimizers = build_model(found, torch.device("cpu")).optimizers()
    rates = [set_learning_rates(optimizers, learning_rate(found, Progress(epoch))) for epoch in (1, 2, 3, 5)]
    assert [rate["lr"] for rate in rates] == pytest.approx([0.1, 0.1, 0.075, 0.025])
    assert [rate["lr_D"] for rate in rates] == pytest.approx([0.2, 0.2, 0.15, 0.05])
    optimizers = build_model(values("--ngf", "2", "--ndf", "2"), torch.device("cpu")).optimizers()
    assert set_learning_rates(optimizers, learning_rate(found, Progress())) == {"lr": 0.0002, "lr_D": 0.0002}


def test_a_limit_of_gradients_is_for_all_optimizers_but_those_with_one_of_their_own():
    flags = ("--model", "drit", "--ngf", "2", "--ndf", "2", *OF_SMALL["drit"])
    own = build_model(values(*flags), torch.device("cpu")).optimizers()
    limited = build_model(values(*flags, "--max_grad_norm", "20"), torch.device("cpu")).optimizers()
    kept = {name: one.max_norm for name, one in own.items() if one.max_norm is not None}
    assert kept and len(kept) < len(own)
    assert {name: one.max_norm for name, one in limited.items()} == dict.fromkeys(own, 20.0) | kept
