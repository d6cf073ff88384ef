"""The generator of methods that split a picture into content and style: content of the source, style of the target."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from instagan.networks import drit
from instagan.networks.blocks import TRANSPOSED, unusual
from instagan.networks.munit import RESIDUAL_BLOCKS, ContentEncoder, Decoder, StyleEncoder
from instagan.structures.instances import InstanceBatch


class StyledGenerator(nn.Module):
    """Translates pictures, each in a style: G(x, s) = decoder(content(x), s). H and W must be multiples of 4.

    content    encoder of the source's domain
    style      encoder of the target's domain, for styles that are given as example pictures of 16 pixels a side or more
    decoder    of the target's domain

    Takes any slots and gives none. The three are networks of a method, which keeps them under names of their own.
    """

    kind = "content_style"

    def __init__(self, content: ContentEncoder, style: StyleEncoder, decoder: Decoder) -> None:
        super().__init__()
        self.content, self.style, self.decoder = content, style, decoder

    @classmethod
    def of(
        cls, ngf: int = 64, blocks: int = RESIDUAL_BLOCKS, style_size: int = 8, mlp_width: int = 256
    ) -> StyledGenerator:  # fmt: skip
        """The generator with this ``config``."""
        decoder = Decoder(ngf, blocks, style_size, mlp_width)
        return cls(ContentEncoder(ngf, blocks), StyleEncoder(ngf, style_size), decoder)

    @property
    def style_size(self) -> int:
        """S, the numbers of a style code."""
        return self.decoder.style_size

    @property
    def config(self) -> dict[str, int]:
        ngf, mlp_width = self.content.stem[1].out_channels, self.decoder.mlp[0].out_features
        return {
            "ngf": int(ngf),  # type: ignore[arg-type]
            "blocks": len(self.decoder.blocks),
            "style_size": self.style_size,
            "mlp_width": int(mlp_width),  # type: ignore[arg-type]
        }

    def forward(self, x: InstanceBatch, style: Any = None) -> InstanceBatch:
        """style: codes (B, S) or (1, S); an ``InstanceBatch`` of B examples or one; None: drawn from N(0, I)."""
        codes = self.codes(style, len(x)).to(x.image)  # (B or 1, S)
        made = self.made(x.image, codes.expand(len(x), -1))  # (B, 3, H, W)
        return InstanceBatch.from_images(made.to(x.image))

    def made(self, image: Tensor, codes: Tensor) -> Tensor:
        """(B, 3, H, W), (B, S) -> (B, 3, H, W)."""
        return self.decoder(self.content(image), codes)

    def codes(self, style: Any, rows: int) -> Tensor:
        """What a style is as numbers, (B, S) or (1, S)."""
        if style is None:
            return torch.randn(rows, self.style_size)
        return self.style(style.image) if isinstance(style, InstanceBatch) else style


class AttributeGenerator(StyledGenerator):
    """DRIT's: between the source's own part of its content encoder and the target's decoder are ``shared`` layers.

    A style is an attribute; that of an example is the mean of what its encoder tells.
    """

    kind = "content_attribute"

    def __init__(self, content: nn.Module, shared: drit.SharedLayers, style: nn.Module, decoder: nn.Module) -> None:
        super().__init__(content, style, decoder)  # type: ignore[arg-type]  # which do the same
        self.shared = shared

    @classmethod
    def of(  # type: ignore[override]
        cls, ngf: int = 64, style_size: int = 8, concat: bool = True, upsample: str = TRANSPOSED
    ) -> AttributeGenerator:
        """The generator with this ``config``."""
        encoder, decoder = drit.MODES[concat]
        stem, shared = drit.ContentStem(ngf), drit.SharedLayers(ngf, concat)
        return cls(stem, shared, encoder(ngf, style_size), decoder(ngf, style_size, upsample))

    @property
    def config(self) -> dict[str, Any]:
        concat = isinstance(self.decoder, drit.ConcatDecoder)
        sizes = {"ngf": self.shared.channels // 4, "style_size": self.style_size, "concat": concat}
        return {**sizes, **unusual(str(self.decoder.upsample))}

    def made(self, image: Tensor, codes: Tensor) -> Tensor:
        content = self.shared.content(self.content(image))  # (B, C, h, w)
        return self.decoder(self.shared.decoder(content), codes)
