"""InstaGAN: instance-aware image-to-image translation (Mo, Cho, Shin, ICLR 2019)."""

from typing import TYPE_CHECKING, Any

from instagan.errors import InputError
from instagan.networks.discriminators import PatchDiscriminator, SetDiscriminator
from instagan.networks.generators import ResnetGenerator, SetGenerator
from instagan.structures.image_pool import ImagePool
from instagan.structures.instances import InstanceBatch, UnpairedBatch
from instagan.structures.sequential import MiniBatch, SequentialMiniBatches

if TYPE_CHECKING:
    from instagan.inference.translator import Translator

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
    "SequentialMiniBatches",
]


def __getattr__(name: str) -> Any:
    """``Translator`` on first use: it brings numpy and PIL along, which the networks do without."""
    if name == "Translator":
        from instagan.inference.translator import Translator

        return Translator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
