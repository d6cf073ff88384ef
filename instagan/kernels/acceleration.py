"""The one switch: replaces the classes of a network's modules by faster ones, and puts them back."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from instagan.kernels import convolution, normalisation, sets
from instagan.kernels.names import ALL
from instagan.kernels.stack import Chain, Execution, Stack
from instagan.networks.blocks import NormalisedEncoder
from instagan.networks.discriminators import SetDiscriminator
from instagan.networks.generators import SetGenerator
from instagan.networks.normalisation import InstanceNorm2d


class FastEncoder(NormalisedEncoder, Stack):  # type: ignore[misc]  # Stack.forward takes a chunk, too
    """``NormalisedEncoder``, whose layers run as a ``Stack``."""


FASTER: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: convolution.Conv2d,
    nn.ConvTranspose2d: convolution.ConvTranspose2d,
    nn.InstanceNorm2d: normalisation.InstanceNorm2d,
    InstanceNorm2d: normalisation.InstanceNorm2d,
    nn.ReflectionPad2d: normalisation.ReflectionPad2d,
    nn.Sequential: Stack,
    NormalisedEncoder: FastEncoder,
    SetGenerator: sets.SetGenerator,
    SetDiscriminator: sets.SetDiscriminator,
}
"""Class of a module -> its faster class. Subclasses are left alone: who wrote one wanted something else."""


def accelerate(
    network: nn.Module,
    *,
    precision: torch.dtype | None = None,
    recompute: bool = False,
    compiled: bool = False,
    kernels: Iterable[str] = ALL,
) -> None:
    """Makes a built network faster, in place: same parameters, same names, same results but for rounding.

    precision, recompute, compiled: see ``Execution``; they hold for every outermost nn.Sequential. kernels: names out
    of ``KERNELS``; raises ValueError for any other. Calling it again replaces what was set before. Comes after
    ``spectral_norm`` and other parametrizations, which change the class of a module, too. Hooks are called as ever:
    layers that have some are not taken together with others.
    """
    chosen = frozenset(kernels)
    if chosen - ALL:
        raise ValueError(f"there are no kernels {sorted(chosen - ALL)}; there are {sorted(ALL)}")
    restore(network)
    execution = Execution(precision, recompute, compiled)
    inner = {part for module in network.modules() if isinstance(module, nn.Sequential) for part in module.modules()
             if part is not module}  # fmt: skip
    for module in list(network.modules()):
        faster = _faster(module, module in inner)
        if faster is None:
            continue
        module.__dict__.update(plain_class=type(module), kernels=chosen)
        module.__class__ = faster
        if isinstance(module, Stack) and module not in inner:
            module.execution = execution


def restore(network: nn.Module) -> None:
    """Undoes ``accelerate``: the modules have the classes that they were built with."""
    for module in network.modules():
        if "plain_class" in module.__dict__:
            module.__class__ = module.__dict__.pop("plain_class")
            for name in ("kernels", "execution"):
                module.__dict__.pop(name, None)


def _faster(module: nn.Module, inner: bool) -> type[nn.Module] | None:
    """The class that runs this module faster, None where there is none."""
    plain = type(module)
    if is_parametrized(module, "weight"):  # torch has put a class of its own over that of the module
        plain = plain.__bases__[0]
    if plain not in FASTER or not _usual(module):
        return None
    if plain is nn.Sequential and inner:
        return Chain
    over = is_parametrized(module, "weight") or plain is InstanceNorm2d
    return _before(FASTER[plain], type(module)) if over else FASTER[plain]  # type: ignore[arg-type]


@cache
def _before(faster: type[nn.Module], own: type[nn.Module]) -> type[nn.Module]:
    """A class with the methods of the faster one and, where it has none or asks for them, those of the module's own."""
    return type(faster.__name__, (faster, own), {})


def _usual(module: nn.Module) -> bool:
    """Whether a layer has nothing that the faster classes do not know."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        zeros = module.padding_mode == "zeros" and isinstance(module.padding, tuple)
        return zeros and module.groups == 1 and tuple(module.dilation) == (1, 1)
    if isinstance(module, nn.InstanceNorm2d):
        return not module.affine and not module.track_running_stats
    return True
