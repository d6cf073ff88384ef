"""bf16 where it is slow is said, from what the system tells about its processor; never anywhere else."""

import pytest

from instagan.cli import translate as translate_command
from instagan.cli.main import main
from instagan.kernels.processor import bf16_instructions, read_cpuinfo, slow_bf16
from options import build
from tests.programs import draw_set, test_program, train, translate
from tests.using import tiny_run

OLDER = "processor\t: 0\nmodel name\t: x\nflags\t\t: fpu avx2 avx512f avx512_vnni\nbugs\t\t: avx512_bf16\n"
NEWER = OLDER.replace("avx512_vnni", "avx512_vnni avx512_bf16 amx_bf16 amx_tile")
ARM = "processor\t: 0\nFeatures\t: fp asimd {}\nCPU part\t: 0xd40\n"


@pytest.mark.parametrize(
    "cpuinfo, found",
    [
        (OLDER, []), (NEWER, ["AVX512-BF16", "AMX"]), (OLDER.replace("avx2", "amx_bf16"), ["AMX"]),
        (ARM.format("i8mm bf16"), ["Arm BF16"]), (ARM.format("i8mm"), []), ("processor : 0\n", None), (None, None),
    ],
)  # fmt: skip
def test_the_systems_flags_tell_the_instructions(cpuinfo, found):
    assert bf16_instructions(cpuinfo) == found


def test_only_bf16_on_a_cpu_that_is_known_to_lack_them_is_slow():
    assert "much slower" in slow_bf16("bf16", "cpu", OLDER)
    for asked in (("fp32", "cpu", OLDER), ("bf16", "cuda", OLDER), ("bf16", "cpu", NEWER), ("bf16", "cpu", None)):
        assert slow_bf16(*asked) is None


def test_a_system_without_such_a_file_is_unknown(tmp_path):
    assert read_cpuinfo(tmp_path / "none") is None


@pytest.mark.parametrize("cpuinfo, times", [(OLDER, 1), (NEWER, 0)])
def test_every_program_says_so_once(tmp_path, capsys, monkeypatch, cpuinfo, times):
    for program in (build, test_program, translate_command):
        monkeypatch.setattr(program, "read_cpuinfo", lambda: cpuinfo)

    def said_once(code: int) -> None:
        told = "".join(capsys.readouterr())
        assert code == 0 and told.count("much slower") == times

    data = draw_set(tmp_path / "data", "train", a=(1,), b=(1,))
    draw_set(data, "test", a=(1,), b=(1,))
    run = tiny_run(tmp_path / "runs")[0].path
    said_once(train(data, tmp_path / "new", "--name", "new", "--max_steps", "1", "--precision", "bf16"))
    said_once(translate(data, tmp_path / "runs", tmp_path / "out", "--name", "run", "--precision", "bf16"))
    one = ["--image", data / "testA/a0.png", "--masks", data / "testA_seg/a0_0.png", "--output", tmp_path / "y.png"]
    flags = ["--device", "cpu", "--precision", "bf16", *one]
    said_once(main(["translate", "--model", str(run), *map(str, flags)]))
