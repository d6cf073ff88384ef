"""What is compared: five trainings, each adding one part of the paper to the one before it, and two ways to infer.

Beside them stand variants of the last one, each with one change, to find out what its figures depend on.
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass

from models.translation_model import TranslationModel

ONE_STEP, SEQUENTIAL = "one-step", "sequential"
AT_A_TIME = 2
"""Instances in a mini-batch of the sequential scheme, as in the paper."""
AT_ONCE = 8
"""As many as a picture has at most."""
MOST_TRAINED = 4
"""Instances of a training picture, all of which are taken."""


@dataclass(frozen=True)
class Method:
    """A row of the table. inference: the schemes in which it is looked at, the row's own first; none: as a whole.

    discriminator_rate: the discriminators' learning rate, as a share of the generators'.
    """

    title: str
    flags: tuple[str, ...]
    wide: bool = False  # one network does the work of two, and gets about as many weights
    inference: tuple[str, ...] = ("",)
    discriminator_rate: float = 1.0

    def width(self, ngf: int) -> int:
        """Twice the weights take a network that is wider by the square root of 2; rounded to 4 channels."""
        return max(4, 4 * round(ngf * math.sqrt(2) / 4)) if self.wide else ngf


def _insta_gan(lambda_ctx: float, at_a_time: int) -> tuple[str, ...]:
    flags = {"lambda_ctx": lambda_ctx, "ins_per": at_a_time, "ins_max": MOST_TRAINED}
    return ("--model=insta_gan", *(f"--{name}={value}" for name, value in flags.items()))


METHODS = {
    "cycle_gan": Method("CycleGAN", ("--model=cycle_gan",), wide=True),
    "cycle_gan_seg": Method("CycleGAN+Seg", ("--model=cycle_gan_seg",), wide=True),
    "insta_gan": Method("InstaGAN", _insta_gan(0, MOST_TRAINED), inference=(ONE_STEP,)),
    "context": Method("+ context loss", _insta_gan(1, MOST_TRAINED), inference=(ONE_STEP, SEQUENTIAL)),
    "sequential": Method("+ sequential", _insta_gan(1, AT_A_TIME), inference=(SEQUENTIAL, ONE_STEP)),
}
"""Name -> training, in the paper's order. All have the same weights of losses, those of the paper's InstaGAN."""
PAPER = tuple(METHODS)
BOTH = SEQUENTIAL, ONE_STEP
METHODS |= {
    name: Method(f"sequential, {change}", (*METHODS["sequential"].flags, *flags), False, BOTH, rate)
    for name, change, flags, rate in (
        ("slow_D", "D at half the rate", (), 0.5),
        ("random_order", "in random order", ("--set_order=random",), 1.0),
        ("earlier", "earlier instances weigh 10", ("--lambda_earlier=10",), 1.0),
        ("resize_conv", "resize convolutions", ("--upsample=resize_conv",), 1.0),
    )
}
"""And variants, each with one change to the last."""
SCHEMES = {ONE_STEP: "context", SEQUENTIAL: "sequential"}
"""How instances are taken in training -> the training, for the 2 x 2 of training and inference."""


def inferring(model: TranslationModel, scheme: str) -> TranslationModel:
    """The same networks, which take all instances of a picture: at once, or a few at a time."""
    if not scheme:
        return model
    twin = copy(model)
    twin.ins_max, twin.ins_per = None, AT_ONCE if scheme == ONE_STEP else AT_A_TIME
    return twin
