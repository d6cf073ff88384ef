"""How the networks of a run are executed: precision, layout, compilation, activation checkpointing."""

from __future__ import annotations

from argparse import Namespace

import torch
from torch.amp import GradScaler

from instagan.errors import InputError
from instagan.kernels.convolution import WIDE, WIDE_ENOUGH
from instagan.kernels.stack import Execution, execute
from models import MODELS
from models.translation_model import TranslationModel

PRECISIONS: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def build_model(options: Namespace, device: torch.device) -> TranslationModel:
    """The method, on its device, running as the flags say. Raises ``InputError`` for flags that do not fit."""
    if options.precision == "fp16" and device.type != "cuda":
        raise InputError(f"--precision fp16 needs a CUDA GPU, and --device is {device.type}; use bf16")
    model = MODELS[options.model].from_options(options).to(device)
    if _channels_last(options, device):
        model.to(memory_format=torch.channels_last)
    recompute = getattr(options, "checkpoint_activations", False)
    execute(model.networks, Execution(PRECISIONS[options.precision], recompute, options.compile))
    if options.precision == "fp16":
        for optimizer in model.guarded().values():
            optimizer.scale_losses(GradScaler(device.type))
    return model


def _channels_last(options: Namespace, device: torch.device) -> bool:
    if options.memory_format != "auto":
        return bool(options.memory_format == "channels_last")
    if device.type == "cpu" and not options.compile:
        return bool(options.ngf >= (WIDE if options.precision == "fp32" else WIDE_ENOUGH))
    return device.type == "cpu" or options.compile  # eager instance norm on a GPU would convert forth and back
