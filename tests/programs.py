"""What tests of whole programs share: tiny data sets, tiny runs, and train.py and test.py called in process."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent

TINY = (
    "--ngf", "4", "--ndf", "4", "--load_size", "36", "--fine_size", "32",
    "--display_id", "0", "--num_threads", "0", "--device", "cpu",
)  # fmt: skip


OF_SMALL = {
    **dict.fromkeys(("insta_gan", "star_insta_gan"), ("--netG_blocks", "1")),
    "one_way_insta_gan": ("--netG_blocks", "1", "--nce_layers", "3,6,9"),
    **dict.fromkeys(("munit", "init"), ("--num_scales", "1")),
    "drit": ("--dis_scale", "2", "--content_layers", "0"),
    "dunit": ("--dis_scale", "2", "--content_layers", "0", "--object_size", "16", "--dataset_mode", "unaligned_seg"),
    "insta_former": ("--patch", "4", "--depth", "2", "--mlp_dim", "8", "--netF_nc", "8"),
    "mguit": ("--dis_scale", "2", "--content_layers", "0", "--d_iter", "1"),
}
"""Method -> the flags with which it learns from pictures as small as these."""


def load(program: str) -> ModuleType:
    """train.py or test.py as a module. By path: ``import test`` would find a package of the standard library."""
    spec = importlib.util.spec_from_file_location(f"program_{program}", ROOT / f"{program}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


train_program, test_program = load("train"), load("test")


def tiny(*flags: str) -> list[str]:
    """Flags of a tiny network of the method that the flags name; they stand behind, so they win."""
    if "--continue_train" in flags:
        return [*TINY, *flags]
    name = flags[flags.index("--model") + 1] if "--model" in flags else "insta_gan"
    return [*TINY, *(OF_SMALL[name] if name.endswith("insta_gan") else ()), *flags]


def train(dataroot: Path, checkpoints: Path, *flags: str) -> int:
    """Exit code of train.py with a tiny network."""
    where = ("--dataroot", str(dataroot), "--checkpoints_dir", str(checkpoints))
    return train_program.main([*where, *tiny(*flags)])


def translate(dataroot: Path, checkpoints: Path, results: Path, *flags: str) -> int:
    """Exit code of test.py."""
    where = ("--dataroot", str(dataroot), "--checkpoints_dir", str(checkpoints), "--results_dir", str(results))
    return test_program.main([*where, "--num_threads", "0", "--device", "cpu", *flags])


def sentence(capsys, main: Callable[[Sequence[str]], int], *argv: str) -> str:
    """What a program says of wrong input, after holding it to its promise: exit code 2 and one line on stderr."""
    capsys.readouterr()
    code = main([str(word) for word in argv])
    error = capsys.readouterr().err
    assert code == 2, error
    assert len(error.splitlines()) == 1, error
    assert "Traceback" not in error
    return error.strip()


def draw_picture(path: Path, masks: int, size: tuple[int, int] = (40, 36), seed: int = 0) -> None:
    """A picture of noise with so many red squares, and beside its folder one mask for each of them."""
    random = np.random.default_rng((seed, masks, *size))
    width, height = size
    pixels = random.integers(60, 200, (height, width, 3), dtype=np.uint8)
    seg = path.parent.with_name(path.parent.name + "_seg")
    for folder in (path.parent, seg):
        folder.mkdir(parents=True, exist_ok=True)
    for number in range(masks):
        left, top = 4 + 9 * (number % 3), 6 + 12 * (number // 3 % 2)
        mask = np.zeros((height, width), np.uint8)
        mask[top : top + 7 + number, left : left + 7] = 255
        pixels[mask > 0] = (255, 0, 0)
        Image.fromarray(mask).save(seg / f"{path.stem}_{number}.png")
    Image.fromarray(pixels).save(path)


def draw_set(root: Path, phase: str, a: Sequence[int], b: Sequence[int], size: tuple[int, int] = (40, 36)) -> Path:
    """Pictures a0, a1, ... and b0, b1, ... with so many masks each."""
    for domain, counts in (("A", a), ("B", b)):
        for number, masks in enumerate(counts):
            draw_picture(root / f"{phase}{domain}" / f"{domain.lower()}{number}.png", masks, size, seed=number)
    return root
