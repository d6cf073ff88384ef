"""Which device a run uses."""

from __future__ import annotations

import os
from argparse import Namespace

import torch

from engine.launch import place_here, ranks_here
from instagan.errors import InputError
from instagan.kernels.allocator import keep_memory


def choose_device(options: Namespace) -> torch.device:
    """``--device``, or the published ``--gpu_ids``; a rank's own GPU where there are several ranks.

    Of several ``--gpu_ids`` rank k takes the k-th, a single process the first. Raises ``InputError`` if there is no
    such device.
    """
    name, flag, place = options.device, f"--device {options.device}", place_here()
    gpus = gpu_list(options)
    if gpus is not None:
        flag = f"--gpu_ids {options.gpu_ids}"
        if place is not None and len(gpus) > 1 and len(gpus) != ranks_here():
            raise InputError(f"{flag} names {len(gpus)} GPUs, but there are {ranks_here()} processes; drop the flag")
        if place is None or len(gpus) > 1:
            return torch.device(f"cuda:{gpus[place or 0]}" if gpus else "cpu")
        name = f"cuda:{gpus[0]}" if gpus else "cpu"
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


def gpu_list(options: Namespace) -> list[int] | None:
    """The numbers of ``--gpu_ids``, an empty list for -1 (the CPU), None without the flag.

    Raises ``InputError`` where they are no numbers, the machine has no such GPUs, or ``--device`` names another one.
    """
    if options.gpu_ids is None:
        return None
    flag, words = f"--gpu_ids {options.gpu_ids}", [word.strip() for word in options.gpu_ids.split(",")]
    if words == ["-1"]:
        gpus: list[int] = []
    elif all(word.isdecimal() and len(word) < 5 for word in words):
        gpus = [int(word) for word in words]
    else:
        raise InputError(f"{flag}: pass the numbers of GPUs, such as 0 or 0,1,2,3, or -1 for the CPU")
    if len(set(gpus)) < len(gpus):
        raise InputError(f"{flag} names a GPU twice; pass every number once")
    same = {"auto", "cuda", f"cuda:{gpus[0]}"} if len(gpus) == 1 else {"auto", "cuda" if gpus else "cpu"}
    if options.device not in same:
        raise InputError(f"{flag} and --device {options.device} contradict each other; drop one of them")
    there = torch.cuda.device_count()
    if gpus and max(gpus) >= there:
        last = f" (0 to {there - 1})" if there else ""
        raise InputError(f"{flag}: this machine has {there} CUDA GPUs{last}; use --gpu_ids -1 for the CPU")
    return gpus


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
