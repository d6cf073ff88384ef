"""Installs the package ``instagan``: the library, ``Translator`` and ``python -m instagan``. What trains and tests runs
from the checkout."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def version() -> str:
    """The version in ``instagan/__init__.py``, read as text: importing it would need torch."""
    found = re.search(r'^__version__ = "([^"]+)"$', (HERE / "instagan/__init__.py").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise RuntimeError("instagan/__init__.py has no line __version__ = ...")
    return found.group(1)


setup(
    name="instagan",
    version=version(),
    description="Instance-aware image-to-image translation in PyTorch",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["instagan*"]),
    package_data={"instagan.cli.web": ["*.html", "*.css", "*.js"]},
    python_requires=">=3.10",
    install_requires=["torch>=2.6", "numpy>=1.24", "pillow>=9.4"],
    extras_require={
        "train": ["ConfigArgParse>=1.5.3", "PyYAML>=6", "tqdm>=4.64", "dominate>=2.7", "scipy>=1.11", "filelock>=3.12"],
        "visdom": ["visdom>=0.2.4", "plotly>=5"],
        "tensorboard": ["tensorboard>=2.14"],
        "coco": ["pycocotools>=2.0.7", "tqdm>=4.64"],
        "ccp": ["tqdm>=4.64"],
        "export": ["PyYAML>=6", "safetensors>=0.4", "onnx>=1.17", "onnxscript>=0.2", "onnxruntime>=1.20"],
        "app": ["gradio>=6.30,<7"],
        "evaluate": ["scipy>=1.11", "torch-fidelity>=0.3", "lpips>=0.1.4", "torchvision>=0.21"],
        "tiff": ["tifffile>=2022.5"],
        "video": ["av>=14", "tqdm>=4.64"],
        "detector": ["torchvision>=0.21", "tqdm>=4.64"],
        "dev": [
            "pytest>=8",
            "pytest-cov>=5",
            "pytest-xdist>=3.5",
            "hypothesis>=6.100",
            "selenium>=4.15",
            "ruff>=0.9",
            "mypy>=1.11",
        ],
    },
)
