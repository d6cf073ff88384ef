"""python -m instagan doctor: one screen about this machine; every line from facts that are handed in."""

import runpy

import pytest
import torch

from instagan.cli import doctor
from instagan.cli.doctor_speed import SIDE, SMALL_SIDE, Speed, measure
from instagan.cli.main import main
from tests.programs import ROOT, sentence

BUILT = ["numpy", "torch==2.13.0", "pillow!=8.3.*,>=5.3.0"]


def test_it_fits_one_screen(capsys):
    assert main(["doctor", "--quick", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 120
    told = {line.split()[0] for line in lines if line}
    assert {"Python", "torch", "torchvision", "GPU", "bf16", "threads", "memory", "disk", "Speed"} <= told


def test_an_unknown_device_is_one_sentence(capsys):
    assert "use cpu" in sentence(capsys, main, "doctor", "--quick", "--device", "toaster")


@pytest.mark.parametrize(
    "version, requirements, torch_version, told",
    [
        ("0.28.0", BUILT, "2.13.0+cpu", "fits"), ("0.28.0", BUILT, "2.12.1", "was built for torch 2.13.0"),
        (None, [], "2.13.0", "not installed"), ("0.28.0", ["torch"], "2.13.0", "fits"),
    ],
)  # fmt: skip
def test_torchvision_is_compared_with_the_torch_that_it_was_built_for(version, requirements, torch_version, told):
    assert told in doctor.torchvision_line(version, requirements, torch_version)


def test_what_slows_a_machine_down_is_said_with_the_cure():
    assert "CUDA build" in doctor.gpu_line([], built_for_cuda=False, driver=True)
    assert doctor.gpu_line(["H100, 80 GiB"], True, True) == "H100, 80 GiB"
    assert "unset" in doctor.threads_line(1, 8, "1") and "unset" not in doctor.threads_line(8, 8, "8")
    assert "slower" in doctor.bf16_line([]) and "unknown" in doctor.bf16_line(None)
    assert doctor.bf16_line(["AVX512-BF16", "AMX"]).startswith("AVX512-BF16, AMX: ")
    assert "--checkpoint_activations" in doctor.memory_line(2**30)
    assert doctor.memory_line(2**36) == "64.0 GiB free"


def test_a_missing_package_comes_with_what_installs_it():
    lines = dict(doctor.package_lines(lambda name: None if name in ("gradio", "onnx", "visdom") else "1.0"))
    missing = {name: told for name, told in lines.items() if told}
    assert sorted(missing.values()) == ["pip install gradio", "pip install onnx", "see requirements-visdom.txt"]
    assert all(name.startswith("no ") == bool(told) for name, told in lines.items())


def test_every_package_that_setup_py_offers_to_users_is_told_of(monkeypatch):
    offered = {}
    monkeypatch.setattr("setuptools.setup", lambda **arguments: offered.update(arguments["extras_require"]))
    runpy.run_path(str(ROOT / "setup.py"))
    names = {line.partition(">")[0] for extra, lines in offered.items() if extra != "dev" for line in lines}
    assert names == {name for names in doctor.PACKAGES.values() for name in names}


@pytest.mark.parametrize(
    "seconds, told",
    [(0.253, "0.25 s"), (22.8, "23 s"), (300, "5 minutes"), (22800, "6.3 hours"), (86400 * 52.8, "53 days")],
)
def test_durations_have_two_digits_and_a_unit(seconds, told):
    assert doctor.rounded(seconds) == told


def test_the_whole_training_follows_from_one_step():
    told = " ".join(text for _, text in doctor.speed_lines(Speed(step=3.6, translation=0.5, side=SIDE)))
    assert "3.6 s" in told and "an epoch of 1,000 pairs: 60 minutes; 200 epochs: 8.3 days" in told and "0.5 s" in told
    assert "scaled" not in told


@pytest.mark.parametrize("seconds, side", [(1e-6, SMALL_SIDE), (60.0, SIDE)])
def test_a_slow_machine_is_measured_with_small_images(seconds, side, monkeypatch):
    """Without time, full size is scaled from small images. The random state of the process stays as it was."""
    state = torch.random.get_rng_state()
    monkeypatch.setattr("instagan.cli.doctor_speed._timed", once)
    speed = measure(torch.device("cpu"), seconds, width=4)
    assert speed.side == side and speed.step > speed.translation > 0
    assert torch.equal(torch.random.get_rng_state(), state)


def once(device, seconds, work):
    """A clock that is asked once, so that the test does not last as long as a measurement."""
    work()
    return 0.001


def test_memory_that_does_not_suffice_is_one_sentence(capsys, monkeypatch):
    def full(*_):
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")

    monkeypatch.setattr("instagan.cli.doctor_speed._timed", full)
    assert "does not fit into the memory of cpu" in sentence(capsys, main, "doctor", "--device", "cpu")
