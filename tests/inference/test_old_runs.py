"""Runs of an older version (tests/fixtures/old_runs) load, go on and translate as they did there.

Each folder holds a run after 2 steps, the losses that the older version then had in step 3, and what its test.py and
its Translator made of pictures. All of it is in float32 on a CPU, so results differ by rounding alone.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.method import state_of
from engine.run_folder import RunFolder, restore
from instagan import Translator
from options.build import build_model
from options.parse import parse_testing
from tests.engine.test_resume import assert_equal
from tests.programs import draw_set, test_program, train_program

RUNS = Path(__file__).parent.parent / "fixtures" / "old_runs"
NAMES = sorted(path.name for path in RUNS.iterdir())
ROUNDING = 2e-5
"""Of results in [-1, 1]."""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = draw_set(tmp_path_factory.mktemp("data"), "train", a=[2, 3, 1, 2], b=[1, 2, 2, 3])
    return draw_set(root, "test", a=[3], b=[2])


@pytest.fixture
def run(request, tmp_path) -> Path:
    return Path(shutil.copytree(RUNS / request.param, tmp_path / "runs" / request.param))


def flags(run: Path, data: Path) -> list[str]:
    where = ["--dataroot", str(data), "--checkpoints_dir", str(run.parent), "--name", run.name]
    return [*where, "--num_threads", "0", "--device", "cpu"]


def test_there_is_a_run_of_every_kind():
    assert set(NAMES) == {"insta_gan", "insta_gan_BtoA", "cycle_gan", "cycle_gan_with_masks", "cycle_gan_seg"}


@pytest.mark.parametrize("run", NAMES, indirect=True)
def test_its_state_is_the_files(run, data):
    state = RunFolder(run.parent, run.name).load("latest")
    model = build_model(parse_testing(flags(run, data)).values, torch.device("cpu"))
    torch.manual_seed(5)
    progress = restore(state, model)
    there = torch.load(run / "latest.pth", weights_only=True)
    assert torch.equal(torch.get_rng_state(), there["random"]["torch"])
    assert vars(progress) == there["progress"]
    for row in (row for pool in there["pools"].values() for row in pool["rows"]):
        row["given_masks"] = row.pop("masks")  # today's name
    for part, found in state_of(model).items():
        assert_equal(found, there[part], part)


@pytest.mark.parametrize("run", NAMES, indirect=True)
def test_it_goes_on_as_it_would_have_there(run, data):
    assert train_program.main([*flags(run, data), "--continue_train", "--max_steps", "3"]) == 0
    (line,) = map(json.loads, (run / "loss_log.jsonl").read_text().splitlines())
    expected = json.loads((run / "step_3.json").read_text())
    assert line.keys() >= expected.keys()
    assert {name: line[name] for name in expected} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("to", ["a", "b"])
def test_it_translates_as_it_did_there(name, to):
    there = np.load(RUNS / name / "translated.npz")
    made = Translator.load(RUNS / name, to=to, device="cpu")(there["picture"], list(there["masks"]), tensors=True)
    assert there[f"image_{to}"].std() > 0.05
    assert np.abs(made.image.numpy() - there[f"image_{to}"]).max() < ROUNDING
    assert made.soft_masks.shape == there[f"soft_masks_{to}"].shape
    assert np.abs(made.soft_masks.numpy() - there[f"soft_masks_{to}"]).max(initial=0) < ROUNDING
    assert made.present == tuple(there[f"present_{to}"])


@pytest.mark.parametrize("run", NAMES, indirect=True)
def test_test_py_writes_what_it_did_there(run, data, tmp_path):
    assert test_program.main([*flags(run, data), "--results_dir", str(tmp_path / "results")]) == 0
    there = np.load(run / "translated.npz")
    files = [name for name in there.files if name.startswith("file_")]
    assert len(files) >= 4
    for name in files:
        found = Image.open(tmp_path / "results" / run.name / "test_latest" / f"{name.removeprefix('file_')}.png")
        apart = np.abs(np.asarray(found).astype(int) - there[name])
        if "mask" in name:
            assert (apart > 0).mean() < 0.02  # pixels on the edge itself
        else:
            assert apart.max() <= 1
