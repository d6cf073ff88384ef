"""InstaGAN: instance-aware image-to-image translation (Mo, Cho, Shin, ICLR 2019)."""

from instagan.discriminators import PatchDiscriminator, SetDiscriminator
from instagan.errors import InputError
from instagan.generators import ResnetGenerator, SetGenerator
from instagan.image_pool import ImagePool
from instagan.instances import InstanceBatch, UnpairedBatch
from instagan.sequential import MiniBatch, sequential_mini_batches

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
    "UnpairedBatch",
    "sequential_mini_batches",
]
