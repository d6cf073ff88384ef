"""InstaGAN: instance-aware image-to-image translation (Mo, Cho, Shin, ICLR 2019)."""

from typing import TYPE_CHECKING, Any

from instagan.discriminators import PatchDiscriminator, SetDiscriminator
from instagan.errors import InputError
from instagan.generators import ResnetGenerator, SetGenerator
from instagan.image_pool import ImagePool
from instagan.instances import InstanceBatch, UnpairedBatch
from instagan.sequential import MiniBatch, sequential_mini_batches

if TYPE_CHECKING:
    from instagan.translation.translator import Translator

__version__ = "0.1.0"

__all__ = [
    "ImagePool",
    "InputError",
    "InstanceBatch",
    "MiniBatch",
    "PatchDiscriminator",
    "ResnetGenerator",
    "SetDiscriminator",
    "SetGenerator",
    "Translator",
    "UnpairedBatch",
    "sequential_mini_batches",
]


def __getattr__(name: str) -> Any:
    """``Translator`` on first use: it brings numpy and PIL along, which the networks do without."""
    if name == "Translator":
        from instagan.translation.translator import Translator

        return Translator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
