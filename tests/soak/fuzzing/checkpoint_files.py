"""Checkpoints, exported models, published weights, and the options beside them."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
import yaml
from hypothesis import strategies as st

from engine.run_folder import RunFolder
from instagan.inference.published import read_published_options
from instagan.inference.trained import read_trained
from instagan.io.options_file import INFERENCE_OPTIONS, inference_options
from instagan.io.tensor_files import read_card, read_tensors, state_dict
from instagan.networks.generators import SetGenerator
from models import MODELS
from options.parse import parse_testing
from tests.soak.fuzzing.hostile import altered, damaged, lines, words
from tests.soak.fuzzing.target import Target, file_target

NGF = 2
OPTIONS: dict[str, Any] = {
    "model": "insta_gan", "dataset_mode": "unaligned_seg", "dataroot": ".", "direction": "AtoB", "ngf": NGF,
    "ndf": 2, "norm": "instance", "netG": "set", "ins_per": 2, "ins_max": 4, "set_order": "decreasing",
    "fine_size_w": 32, "fine_size_h": 32, "load_size_w": 36, "load_size_h": 36, "resize_or_crop": "resize_and_crop",
    "name": "run", "seed": 0, "input_nc": 3, "output_nc": 3, "no_flip": False, "lr": 0.0002,
}  # fmt: skip
PROGRESS = {"epoch": 1, "steps": 3, "pictures": 3}
ENTRY: dict[str, Any] = {
    "source": "A", "target": "B", "network": "G_A", "kind": "set", "needs": ["masks"], "ins_per": 2,
    "set_order": "decreasing", "config": {"ngf": NGF, "norm": "instance", "blocks": 1},
}  # fmt: skip
"""What a checkpoint and a model card tell of a direction."""
ENTRIES: tuple[Any, ...] = (
    [ENTRY], [3], {"a": 1}, [{**ENTRY, "target": 3}], [{**ENTRY, "more": 1}], [{**ENTRY, "needs": 3}],
    [{**ENTRY, "config": {"norm": [1]}}], [{**ENTRY, "config": {**ENTRY["config"], "blocks": 2**16}}],
    [{**ENTRY, "config": {**ENTRY["config"], "ngf": 2**16}}], [{**ENTRY, "config": {"ngf": 2.5}}], [{}],
)  # fmt: skip


class _Runs:
    """What a malicious pickle does: a program is run while it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, ("touch pwned",)


def generator() -> dict[str, torch.Tensor]:
    weights = SetGenerator(NGF, blocks=1).state_dict()
    return OrderedDict((name, torch.full(tensor.shape, 0.01)) for name, tensor in weights.items())


def contents() -> list[Any]:
    """What may be in a file of tensors: a checkpoint, weights, and things that are neither."""
    weights = generator()
    one = next(iter(weights))
    checkpoint = {"format": 1, "options": OPTIONS, "progress": PROGRESS, "networks": {"G_A": weights}}
    endless = {**weights, one: torch.zeros(1).expand(weights[one].shape[0] * 10**6, 3, 7, 7)}
    return [
        checkpoint,
        weights,
        {f"module.{name}": tensor for name, tensor in weights.items()},
        endless,
        {**checkpoint, "networks": {"G_A": endless}},
        {one: torch.zeros(60_000, 3, 7, 7, dtype=torch.int8)},
        {**weights, one: torch.full_like(weights[one], float("nan"))},
        {**weights, one: torch.zeros(2, 3, 7, 7).to_sparse()},
        {**weights, one: torch.zeros(2, 3, 7, 7, device="meta")},
        {**weights, one: torch.zeros(2, 3, 7, 7, dtype=torch.complex64)},
        {**checkpoint, "options": [1, 2]},
        {**checkpoint, "options": {**OPTIONS, "norm": ["instance"]}},
        {**checkpoint, "networks": {"G_A": {3: torch.zeros(1)}}},
        *({**checkpoint, "translators": entries} for entries in ENTRIES),
        {"state_dict": weights},
        [weights],
        torch.zeros(3),
        {},
    ]


def corpus() -> tuple[bytes, ...]:
    files = []
    for number, content in enumerate(contents()):
        files.append(saved(content))
        if number < 3:
            files.append(saved(content, _use_new_zipfile_serialization=False))
    files += [pickle.dumps({"weights": _Runs()}), pickle.dumps(_Runs(), protocol=0)]
    files += [_zipped(pickle.dumps(_Runs(), protocol=2)), bomb(), b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)]
    return tuple(files)


def saved(content: Any, **how: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **how)
    return file.getvalue()


def _zipped(pickled: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def bomb(size: int = 1 << 30) -> bytes:
    """A file of torch's whose one tensor is packed to a thousandth: torch itself packs nothing."""
    whole = saved({"w": torch.zeros(16, dtype=torch.uint8)})
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("data/0"):
                with new.open(name, "w", force_zip64=True) as entry:
                    for _ in range(size >> 20):
                        entry.write(bytes(1 << 20))
            else:
                new.writestr(name, content.replace(struct.pack("<BB", ord("K"), 16), b"J" + struct.pack("<i", size)))
    return file.getvalue()


def exported() -> bytes:
    """A safetensors file with a model card, put together by hand."""
    return _exported({"options": OPTIONS, "data": {}})


def _exported(card: Any) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt", "instagan": json.dumps(card)}}
    body = b""
    for name, tensor in generator().items():
        content = tensor.numpy().tobytes()
        place = [len(body), len(body) + len(content)]
        header[f"G_A.{name}"] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": place}
        body += content
    head = json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + body


def _tensors(path: Path) -> None:
    content = read_tensors(path)
    for name, tensor in state_dict(content, str(path)).items():
        assert isinstance(name, str) and isinstance(tensor, torch.Tensor)


def _trained(path: Path) -> None:
    translator = read_trained(path, "b").build()
    assert translator.set_order and translator.generator is not None


def _run_folder(path: Path) -> None:
    assert "networks" in RunFolder(path.parent.parent, path.parent.name).load("latest")


def _exported_model(path: Path) -> None:
    read_card(path)
    _trained(path)


def _told(path: Path) -> None:
    assert set(inference_options(path)) <= set(INFERENCE_OPTIONS)


def _opt_txt(path: Path) -> None:
    for value in read_published_options(path).values():
        assert isinstance(value, (int, str, bool))


def _yaml(content: Any) -> bytes:
    try:
        return yaml.safe_dump(content).encode("utf-8", "surrogatepass")
    except yaml.YAMLError:
        return b""


_NESTED = "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
YAML = (
    "a: &a [1]\n" + _NESTED,
    "model: !!python/object/apply:os.system ['touch pwned']\n", "model: 2001-99-99\n", "model: 0b_\n", "? [a]\n: b\n",
    "model: !!int x\n", "[" * 3000, "&a [*a]\n", "model: &a {b: *a}\n", "\x00", "model: insta_gan\nngf: {}\n",
    "model: !!timestamp 9999\n", "model: !!binary '%'\n", "%YAML 9.9\n---\n", "<<: 3\n", "model: !!float _\n",
)  # fmt: skip


def _options(content: bytes, folder: Path) -> None:
    """A run's options.yaml, read as test.py reads it."""
    run = folder / "run"
    run.mkdir()
    (run / "options.yaml").write_bytes(content)
    resolved = parse_testing(["--checkpoints_dir", str(folder), "--name", "run", "--dataroot", "x"])
    assert isinstance(resolved.values, Namespace) and resolved.values.model in MODELS
    assert len(resolved.table()) < 10**6


def targets() -> list[Target]:
    files = corpus()
    cards = {"options": OPTIONS}, {"options": [1]}, {"options": {"norm": {}}}, 3
    told_cards = ({"options": OPTIONS, "translators": entries} for entries in ENTRIES)
    safe = tuple(_exported(card) for card in (*cards, *told_cards))
    told = lines([f"{name}: {value}" for name, value in OPTIONS.items()], words)
    texts = _yaml(OPTIONS), *(text.encode() for text in YAML)
    options = altered([OPTIONS]).map(_yaml) | damaged(texts)
    return [
        file_target("file of tensors", "input.pth", files, _tensors, damaged(files), 500),
        file_target("model to translate with", "input.pth", files, _trained, damaged(files), 400),
        file_target("checkpoint of a run", "latest.pth", files, _run_folder, damaged(files), 300),
        file_target("exported model", "input.safetensors", safe, _exported_model, damaged(safe), 300),
        file_target("options beside weights", "options.yaml", texts, _told, told | options, 300),
        file_target("published opt.txt", "opt.txt", (), _opt_txt, told, 100),
        Target("options of a run", options | st.just(b""), _options, 100, "", texts),
    ]
