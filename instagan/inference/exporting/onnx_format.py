"""One ONNX file for each direction, for onnxruntime and others: a mini-batch, any height, width and instances."""

from __future__ import annotations

import copy
import io
import json
import logging
import warnings
from argparse import Namespace
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from instagan.inference.exporting.mini_batch import MiniBatch, traced
from instagan.inference.exporting.per_direction import Made, export_each
from instagan.inference.trained import Trained
from instagan.io.optional import need
from instagan.io.tensor_files import CARD

ENDING = ".onnx"
OPSET = 18
"""The first that knows padding by reflection and all else as torch writes it, so that older runtimes can read it."""
DIMENSIONS = {
    "image": (1, 3, "height", "width"),
    "masks": ("instances", "height", "width"),
    "style": (1, None),
    "translated": (1, 3, "height", "width"),
}


def export(
    directions: Mapping[str, Trained], card: dict[str, Any], output: Path, options: Namespace
) -> dict[Path, str]:
    """Writes the files, whole or not at all; the card is in their metadata. Returns them, and what to tell of each."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        need(package, package, "--format onnx")
    return export_each(directions, card, output, _make, "onnxruntime")


class EvenNorm(nn.Module):
    """Instance norm that averages rows first and then their averages.

    onnxruntime adds up all pixels of a channel one after another, in float32: its own instance norm is off by 1e-4 of
    the result at 128x128 and by more in larger pictures. Sums of a side's length keep to 1e-5, and take no longer.
    """

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, features: Tensor) -> Tensor:
        centred = features - _mean(features)
        return centred * torch.rsqrt(_mean(centred * centred) + self.eps)


def _mean(features: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, 1, 1)."""
    return features.mean(3, keepdim=True).mean(2, keepdim=True)


def with_even_norms(function: MiniBatch) -> MiniBatch:
    """A copy of the function whose instance norms are ``EvenNorm``."""
    function = copy.deepcopy(function)
    for module in list(function.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.InstanceNorm2d):
                setattr(module, name, EvenNorm(child.eps))
    return function


def _make(function: MiniBatch, card: dict[str, Any]) -> Made:
    import onnx

    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")  # what torch tells about its own insides
        told, logging.root.manager.disable = logging.root.manager.disable, logging.WARNING
        try:
            program = torch.onnx.export(
                traced(with_even_norms(function)),
                dynamo=True,
                opset_version=OPSET,
                input_names=function.inputs,
                output_names=function.outputs,
                verbose=False,
            )
        finally:
            logging.root.manager.disable = told
    assert program is not None
    proto = program.model_proto
    _name_dimensions(proto)
    onnx.helper.set_model_props(proto, {CARD: json.dumps(card)})
    proto.producer_name = "instagan"
    onnx.checker.check_model(proto, full_check=True)
    content = proto.SerializeToString()
    opset = next(entry.version for entry in proto.opset_import if entry.domain == "")
    return Made(content, runner(content), {"opset": opset})


def _name_dimensions(proto: Any) -> None:
    """Sizes of what goes in and comes out by name; what torch notes about those in between is left out."""
    del proto.graph.value_info[:]
    for value in (*proto.graph.input, *proto.graph.output):
        known = value.type.tensor_type.shape.dim
        wanted = DIMENSIONS.get(value.name)
        if wanted is None:  # the translated masks: as many as went in, or the union
            wanted = (known[0].dim_value or "instances", "height", "width")
        for dimension, name in zip(known, wanted, strict=True):
            if isinstance(name, str):
                dimension.dim_param = name


def runner(content: bytes | str) -> Any:
    """The exported function in onnxruntime, on as many threads as torch has. content: of a file, or its path."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        given = {node.name: tensor.numpy() for node, tensor in zip(session.get_inputs(), inputs, strict=True)}
        return tuple(torch.from_numpy(made) for made in session.run(None, given))

    return run
