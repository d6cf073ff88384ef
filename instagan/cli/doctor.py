"""Tells what this machine has, what is missing, and how fast training is to be expected.

    python -m instagan doctor            with a measurement of 20 seconds
    python -m instagan doctor --quick    without it
"""

from __future__ import annotations

import os
import platform
import shutil
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

import torch

from instagan.cli.doctor_speed import SIDE, Speed, measure
from instagan.errors import one_line
from instagan.inference.memory import free_memory
from instagan.inference.network import choose_device
from instagan.kernels.processor import bf16_instructions, read_cpuinfo

PACKAGES = {
    "train.py, test.py": ("ConfigArgParse", "PyYAML", "tqdm", "dominate", "scipy", "filelock"),
    "COCO files, --save_coco": ("pycocotools",),
    "instance masks from a detector (--detector)": ("torchvision", "tqdm"),
    "the web page, python -m instagan app": ("gradio",),
    "videos, translate --video": ("av",),
    "live plots in Visdom": ("visdom", "plotly"),
    "--tensorboard": ("tensorboard",),
    "TIFF files that Pillow cannot read": ("tifffile",),
    "ONNX and safetensors, scripts/export.py": ("onnx", "onnxscript", "onnxruntime", "safetensors"),
    "FID and LPIPS, scripts/evaluate.py": ("torch-fidelity", "lpips", "torchvision"),
}
"""What packages enable -> their names as pip knows them."""

NEEDED_GIB = 4
"""Free memory that a training step of the published task takes, with room to spare."""
PAIRS, EPOCHS = 1000, 200
"""What the time of a whole training is told for: image pairs of an epoch, and the published number of epochs."""

Line = tuple[str, str]
"""What it is about, and what is to say."""


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="leave out the measurement of speed")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: a GPU if there is one)")


def run(options: Namespace) -> int:
    device = choose_device(options.device)
    _print(
        [
            ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
            ("torch", f"{torch.__version__} ({_build()})"),
            ("torchvision", torchvision_line(_version("torchvision"), _requirements("torchvision"), torch.__version__)),
            ("GPU", gpu_line(_gpus(), torch.version.cuda is not None, shutil.which("nvidia-smi") is not None)),
            ("bf16", bf16_line(bf16_instructions(read_cpuinfo()))),
            ("threads", threads_line(torch.get_num_threads(), _processors(), os.environ.get("OMP_NUM_THREADS"))),
            ("memory", memory_line(free_memory(torch.device("cpu")))),
            ("disk", f"{shutil.disk_usage(Path.cwd()).free / 2**30:.0f} GiB free in this folder"),
        ]
    )
    print("\nOptional packages")
    _print(package_lines(_version))
    print("\nSpeed of the published task (200x200, ngf 64, 4 instances of each image, 2 at a time, batch size 1)")
    if options.quick:
        print("  not measured: --quick")
        return 0
    print(f"  measuring on {device} for about 20 seconds ...", flush=True)
    _print(speed_lines(measure(device)))
    return 0


def torchvision_line(version: str | None, requirements: Iterable[str], torch_version: str) -> str:
    """Whether the torchvision that is installed was built for this torch: it names one version of it."""
    if version is None:
        return "not installed; only --detector and LPIPS need it"
    wanted = next((line.partition("==")[2].split(";")[0].strip() for line in requirements if line[:7] == "torch=="), "")
    if not wanted or wanted == torch_version.partition("+")[0]:
        return f"{version}, fits this torch"
    return f"{version} was built for torch {wanted} and may fail: pip install --upgrade torch torchvision"


def gpu_line(gpus: list[str], built_for_cuda: bool, driver: bool) -> str:
    if gpus:
        return "; ".join(gpus)
    if driver and not built_for_cuda:
        return "there is a driver, but this torch is a CPU build: install a CUDA build from pytorch.org"
    return "none that torch can use; training runs on the CPU"


def bf16_line(instructions: list[str] | None) -> str:
    if instructions is None:
        return "unknown: this system does not tell the processor's instructions"
    if instructions:
        return f"{', '.join(instructions)}: --precision bf16 is faster than float32 on this processor"
    return "no instructions for it: --precision bf16 is much slower than float32 on this processor"


def threads_line(threads: int, processors: int, setting: str | None) -> str:
    told = f"torch uses {threads} of {processors} processors"
    if threads >= processors:
        return told
    return f"{told}, because OMP_NUM_THREADS is {setting}: unset it to train faster" if setting else told


def memory_line(free: int | None) -> str:
    if free is None:
        return "unknown on this system"
    told = f"{free / 2**30:.1f} GiB free"
    if free < NEEDED_GIB * 2**30:
        return f"{told}; the published task takes about {NEEDED_GIB}: use --checkpoint_activations or smaller images"
    return told


def package_lines(version: Callable[[str], str | None]) -> list[Line]:
    """For everything that packages enable: which are there, or what installs those that are missing."""
    lines = []
    for use, names in PACKAGES.items():
        missing = [name for name in names if version(name) is None]
        install = "see requirements-visdom.txt" if "visdom" in missing else f"pip install {' '.join(missing)}"
        lines.append((f"no   {use}" if missing else f"yes  {use}", install if missing else ""))
    return lines


def speed_lines(speed: Speed) -> list[Line]:
    epoch = speed.step * PAIRS
    lines = [
        ("training", f"about {rounded(speed.step)} an image pair, without reading data"),
        ("", f"an epoch of {PAIRS:,} pairs: {rounded(epoch)}; {EPOCHS} epochs: {rounded(epoch * EPOCHS)}"),
        ("test.py", f"about {rounded(speed.translation)} an image and direction"),
    ]
    if speed.side < SIDE:
        lines.append(("", f"measured at {speed.side}x{speed.side} and scaled by the number of pixels: it is slow here"))
    return lines


def rounded(seconds: float) -> str:
    """Two digits in the largest unit that leaves one or more: 0.25 s, 6.3 hours, 120 days."""
    units = (("days", 86400), ("hours", 3600), ("minutes", 60))
    name, length = next((unit for unit in units if seconds >= 2 * unit[1]), ("s", 1))
    value = seconds / length
    return f"{value:.2g} {name}" if value < 10 else f"{value:,.0f} {name}"


def _print(lines: Iterable[Line]) -> None:
    lines = list(lines)
    width = max(len(name) for name, _ in lines)
    for name, told in lines:
        print(one_line(f"  {name:{width}}  {told}").rstrip())


def _build() -> str:
    if torch.version.cuda:
        return f"CUDA {torch.version.cuda}"
    return "ROCm" if torch.version.hip else "CPU build"


def _gpus() -> list[str]:
    """Name and memory of every GPU."""
    if torch.backends.mps.is_available():
        return ["Apple GPU (--device mps)"]
    found = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return [f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB" for gpu in found]


def _processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _requirements(package: str) -> list[str]:
    try:
        return metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return []
