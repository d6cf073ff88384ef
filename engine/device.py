"""Which device a run uses."""

from __future__ import annotations

import os
from argparse import Namespace

import torch

from engine.launch import place_here, ranks_here
from instagan.errors import InputError
from instagan.kernels.allocator import keep_memory


def choose_device(options: Namespace) -> torch.device:
    """``--device``, or the published ``--gpu_ids``; under torchrun each rank's own GPU.

    Raises ``InputError`` if there is no such device.
    """
    name, flag = options.device, f"--device {options.device}"
    if options.gpu_ids is not None:
        flag = f"--gpu_ids {options.gpu_ids}"
        if not options.gpu_ids.lstrip("-").isdecimal():
            raise InputError(f"{flag}: one process uses one GPU; pass one number, or -1 for the CPU")
        published = "cpu" if options.gpu_ids.startswith("-") else f"cuda:{options.gpu_ids}"
        if name not in ("auto", published, published.partition(":")[0]):
            raise InputError(f"{flag} and --device {name} contradict each other; drop one of them")
        name = published
    place = place_here()
    if name == "auto":
        single = "mps" if torch.backends.mps.is_available() and place is None else "cpu"
        name = "cuda" if torch.cuda.is_available() else single
    if place is not None and name != "cpu":
        if name != "cuda":
            raise InputError(f"{flag}: torchrun gives each process a GPU of its own; pass --device cuda or cpu")
        name, flag = f"cuda:{place}", f"torchrun --nproc_per_node {ranks_here()} with --device cuda"
    try:
        device = torch.device(name)
        there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[
            device.type
        ]
    except (RuntimeError, KeyError):
        raise InputError(f"--device {name}: use auto, cpu, cuda, cuda:1 or mps") from None
    if (device.index or 0) >= there:
        raise InputError(f"{flag}: this machine has {there} {device.type} devices; use --device auto or cpu")
    return device


def prepare(device: torch.device, options: Namespace, *, own_allocator: bool = True) -> None:
    """Seeds torch and sets how it computes and, unless the allocator is to stay as it comes, keeps memory."""
    deterministic = options.deterministic
    torch.manual_seed(options.seed)
    if device.type == "cpu" and own_allocator:
        keep_memory(little=getattr(options, "checkpoint_activations", False))
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = not options.no_tf32
    torch.backends.cudnn.benchmark = not deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    if device.type == "cuda":
        torch.cuda.set_device(device)


def wait_for(device: torch.device) -> None:
    """Waits until a GPU has done what it was given, so that a clock read next tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def workers(options: Namespace) -> int:
    """Processes that read pictures: ``--num_threads``, but no more than each rank has processors. Changes no result."""
    return min(options.num_threads, max((os.cpu_count() or 1) // ranks_here(), 1))
