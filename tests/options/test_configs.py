"""The files in configs/ are flags that train.py takes."""

from pathlib import Path

import pytest
import yaml

from models import MODELS
from options.parse import parse_training

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_key_is_a_flag_and_arrives(config):
    told, values = yaml.safe_load(config.read_text()), vars(parse_training(["--config", str(config)]).values)
    assert told["model"] in MODELS and told["name"] == config.stem
    arrived = {name: values[name] for name in told if name in values}  # load_size and fine_size become two numbers each
    assert len(arrived) >= len(told) - 2 and arrived.items() <= told.items()
