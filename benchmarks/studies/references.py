"""What the figures say of translations that nobody had to learn: the input itself, its colours exchanged, the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.studies.images import VALIDATION, RealImages
from data.results import file_name
from evaluation.streets import read_streets, truth_of
from evaluation.styles import MOST_IMAGES
from instagan.io.optional import need
from instagan.io.writing import make_folder

IDENTITY, COLOUR_OF_ALL, COLOUR_OF_ONE, TRUTH = "identity", "colour_of_all", "colour_of_one", "truth"
TITLES = {
    IDENTITY: "*input as it is*",
    COLOUR_OF_ALL: "*colours of all training images*",
    COLOUR_OF_ONE: "*colours of one training image*",
    TRUTH: "*true renderings*",
}
"""Name of a reference -> its row's title."""
SEED = 0
Outputs = Callable[[str, np.ndarray, str, str], Sequence[np.ndarray]]
"""(name, image (H, W, 3) uint8, source, target) -> its outputs."""


def write_references(folder: Path, real: RealImages, styles: int, streets: Path | None) -> Iterator[tuple[str, Path]]:
    """Name of each reference and the folder of its outputs, named as test.py names them. Raises ``InputError``.

    streets: the folder of a set of make_streets.py, which knows the truth; None: nobody does.
    """
    made: dict[str, Outputs] = {
        IDENTITY: lambda name, image, source, target: [image],
        **colours(real, styles),
    }
    if streets:
        root, content = streets, read_streets(streets)
        made[TRUTH] = lambda name, image, source, target: list(
            truth_of(root, content, f"{VALIDATION}{source}/{name}.png").targets.values()
        )
    for name, outputs in made.items():
        write_outputs(folder / name, real, outputs)
        yield name, folder / name


def write_outputs(folder: Path, real: RealImages, outputs: Outputs) -> None:
    """NAME_fake_B.png of one output, NAME_fake_B_style0.png ... of several, in both directions."""
    make_folder(folder)
    for source, target in ("AB", "BA"):
        for entry, image in real.validation(source):
            found = outputs(entry.stem, image, source, target)
            for number, output in enumerate(found):
                style = f"_style{number}" if len(found) > 1 else ""
                Image.fromarray(output).save(folder / file_name(entry, f"fake_{target}{style}"))


def colours(real: RealImages, styles: int) -> dict[str, Outputs]:
    """scikit-image's histogram matching, channel by channel: to all training images of the target's domain together,
    and to single ones that are drawn, one for each style."""
    exposure = need("skimage.exposure", "scikit-image", "the row of colour transfer")
    training = {letter: real.training(letter, MOST_IMAGES) for letter in "AB"}
    together = {letter: np.concatenate([one.reshape(-1, 1, 3) for one in of]) for letter, of in training.items()}
    random = np.random.default_rng(SEED)
    examples = {letter: random.choice(len(images), styles) for letter, images in training.items()}

    def matched(image: np.ndarray, example: np.ndarray) -> np.ndarray:
        return np.rint(exposure.match_histograms(image, example, channel_axis=-1)).clip(0, 255).astype(np.uint8)

    return {
        COLOUR_OF_ALL: lambda name, image, source, target: [matched(image, together[target])],
        COLOUR_OF_ONE: lambda name, image, source, target: [
            matched(image, training[target][number]) for number in examples[target]
        ],
    }
