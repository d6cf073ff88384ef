"""What the tests of using trained models share: tiny runs with weights that visibly do something."""

from pathlib import Path

import torch
from torch import Tensor, nn

from engine.run_folder import RunFolder
from engine.schedule import Progress
from instagan.inference.published import to_published
from instagan.networks.blocks import initialise
from models import MODELS
from models.translation_model import TranslationModel
from options.parse import parse_training
from tests.programs import tiny


def tiny_run(checkpoints: Path, name: str = "run", *flags: str, seed: int = 0) -> tuple[RunFolder, TranslationModel]:
    """A run's folder as train.py leaves it, and its model: random weights, large enough to move pixels."""
    options = parse_training(["--dataroot", ".", "--name", name, *tiny(*flags)]).values
    torch.manual_seed(seed)
    model = MODELS[options.model].from_options(options)
    for network in model.networks.values():
        initialise(network, "xavier", 1.0)
    run = RunFolder(checkpoints, name)
    run.create()
    run.save_options(options)
    run.save(["latest"], model, Progress(epoch=3, steps=40, pictures=80))
    return run, model


def with_small_masks(run: RunFolder) -> Path:
    """A checkpoint of the run whose translated masks cover little, so that something stays background."""
    content = run.load("latest")
    for name in ("G_A", "G_B"):
        bias = next(key for key in reversed(content["networks"][name]) if key.endswith("bias"))
        content["networks"][name][bias] -= 3.0
    torch.save(content, run.path / "small.pth")
    return run.path / "small.pth"


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def write_published(folder: Path, model: TranslationModel, *, zipped: bool = True, prefix: str = "", only: str = "GD"):
    """The model's networks as the published system saves them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, network in model.networks.items():
        if name[0] in only:
            weights = {prefix + key: tensor for key, tensor in to_published(state(network)).items()}
            torch.save(weights, folder / f"latest_net_{name}.pth", _use_new_zipfile_serialization=zipped)
    return folder
