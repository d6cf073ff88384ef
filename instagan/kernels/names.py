"""The kernels by name, each of which can be left out, and where they step aside."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

KERNELS = {
    "columns": "convolutions to fewer than four channels, cut into the columns of their kernel",
    "weight_gradients": "gradients of weights in the memory layout that is fastest for them",
    "minimal_filtering": "3x3 convolutions of many channels with a quarter of the multiplications",
    "normalisation": "instance norm by the kernels of group and batch norm",
    "padding": "reflection padding that keeps nothing for its gradient",
    "activations": "normalisation, ReLU and padding before a convolution, computed again for its gradient",
    "set_features": "what the masks of a picture share, once per picture; sums over masks in their memory layout",
    "chunks": "the masks that a discriminator sees a few at a time, so that memory does not grow with the set",
}
"""Name -> what it does."""
ALL = frozenset(KERNELS)


def computable(features: Tensor) -> bool:
    """Whether the convolutions of this package take these features: on a CPU, in eager mode, of float32 or bfloat16."""
    return (
        features.device.type == "cpu"
        and features.dtype in (torch.float32, torch.bfloat16)
        and features.numel() > 0
        and features.ndim == 4
        and not torch.compiler.is_compiling()
    )


def hooked(module: nn.Module) -> bool:
    """Whether a hook wants to see what goes into this module or comes out, or the gradients of that."""
    own = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    return bool(own or torch_module._has_any_global_hook())
