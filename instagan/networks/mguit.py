"""MGUIT's networks: content as DRIT's, of length 1 at every position; style as a map; a decoder that takes both (Jeong,
Kim, Lee, Sohn, Memory-guided Unsupervised Image-to-image Translation, CVPR 2021).

Letters: B pictures in a batch, C = 4 ngf channels of a content map, V = 2 ngf channels of a style map, I items of the
memory, S = I V numbers of a style, H x W picture, h x w = H/4 x W/4 maps. Counts of parameters are those at ngf 64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from instagan.networks.blocks import TRANSPOSED, ResidualBlock, padded_convolution, unusual
from instagan.networks.drit import (
    CONTENT_LAYERS,
    ContentDiscriminator,
    ContentStem,
    SharedBlock,
    discriminator,
    doubled,
)
from instagan.networks.memory import DOMAINS, ITEMS, ClassMemory, class_masks, read
from instagan.networks.normalisation import InstanceNorm2d
from instagan.structures.instances import InstanceBatch

DECODER_BLOCKS = 3


def new_networks(
    ngf: int, ndf: int, items: Sequence[int] = ITEMS, scales: int = 3, layers: int = CONTENT_LAYERS, norm: str = "none",
    upsample: str = TRANSPOSED,
) -> dict[str, nn.Module]:  # fmt: skip
    """All networks of the method, by name. scales, layers, norm: of the discriminators; upsample: of the decoders."""
    networks: dict[str, nn.Module] = {"shared": SharedBlock(ngf), "shared_decoder": SharedDecoder(ngf, upsample)}
    for d in DOMAINS:
        networks |= {f"stem_{d}": ContentStem(ngf), f"style_{d}": StyleMapEncoder(ngf)}
        networks |= {f"decoder_{d}": DomainDecoder(ngf, upsample), f"D_{d}": discriminator(ndf, scales, norm)}
    judge = ContentDiscriminator(ngf, layers, norm)
    return networks | {"D_content": judge, "memory": ClassMemory(items, 4 * ngf, 2 * ngf)}


def unit_content(stem: ContentStem, shared: SharedBlock, image: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> content (B, C, h, w), of length 1 at every position."""
    return functional.normalize(shared(stem(image)).to(image), dim=1)


class StyleMapEncoder(nn.Sequential):
    """(B, 3, H, W) in [-1, 1] -> style map (B, V, h, w). H and W must be multiples of 4. 745,600 parameters."""

    def __init__(self, ngf: int = 64) -> None:
        wide = 2 * ngf
        super().__init__(
            nn.ReflectionPad2d((1, 2, 1, 2)),
            nn.Conv2d(3, ngf, 4),
            PreActivatedBlock(ngf, wide),
            PreActivatedBlock(wide, wide),
            PreActivatedBlock(wide, wide, halved=False),
            nn.LeakyReLU(0.2),
        )


class PreActivatedBlock(nn.Module):
    """Two convolutions, instance norm and LeakyReLU before each, and a 1x1 convolution around them.

    (B, narrow, h, w) -> (B, wide, h/2, w/2), or without ``halved`` (B, wide, h, w).
    """

    def __init__(self, narrow: int, wide: int, halved: bool = True) -> None:
        super().__init__()
        halving: list[nn.Module] = [nn.AvgPool2d(2)] if halved else []
        layers: list[nn.Module] = []
        for channels in (narrow, wide):
            layers += [InstanceNorm2d(narrow), nn.LeakyReLU(0.2), *padded_convolution(narrow, channels, 3)]
        self.layers = nn.Sequential(*layers, *halving)
        self.around = nn.Sequential(*halving, nn.Conv2d(narrow, wide, 1))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features) + self.around(features)


class SharedDecoder(nn.Module):
    """What the decoders of both domains have in common: content (B, C, h, w), style map (B, V, h, w) -> (B, C, 2h, 2w).

    first   a residual block of the content alone
    blocks  residual blocks of content and style
    up      a transposed convolution that doubles the size, with layer norm; it sees the style once more

    upsample: out of ``UPSAMPLING``; published: transposed convolutions.
    """

    def __init__(self, ngf: int = 64, upsample: str = TRANSPOSED) -> None:
        super().__init__()
        self.upsample = upsample
        channels, style = 4 * ngf, 2 * ngf
        self.first = ResidualBlock(channels)
        self.blocks = nn.Sequential(*(ResidualBlock(channels + style) for _ in range(DECODER_BLOCKS)))
        self.up = nn.Sequential(*doubled(channels + 2 * style, channels, upsample))

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        features = self.blocks(torch.cat([self.first(content), style], dim=1))  # (B, C + V, h, w)
        return self.up(torch.cat([features.to(style), style], dim=1)).to(style)  # (B, C, 2 h, 2 w)


class DomainDecoder(nn.Module):
    """A domain's own end of its decoder: (B, C, 2 h, 2 w), style map (B, V, h, w) -> image (B, 3, 4 h, 4 w) in [-1, 1].

    up      a transposed convolution that doubles the size, with layer norm
    last    1x1 and tanh

    Both see the style, enlarged by repeating it. upsample: as above. With ``SharedDecoder`` for both domains 11,655,686
    parameters.
    """

    def __init__(self, ngf: int = 64, upsample: str = TRANSPOSED) -> None:
        super().__init__()
        width, style = 6 * ngf, 2 * ngf
        self.up = nn.Sequential(*doubled(width, width // 2, upsample))
        self.last = nn.Sequential(nn.ConvTranspose2d(width // 2 + style, 3, 1), nn.Tanh())

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        twice, whole = (functional.interpolate(style, scale_factor=float(factor)) for factor in (2, 4))
        features = self.up(torch.cat([features, twice], dim=1))  # (B, 3 C / 4, 4 h, 4 w)
        return self.last(torch.cat([features.to(whole), whole], dim=1)).to(style)  # (B, 3, 4 h, 4 w)


class MemoryGenerator(nn.Module):
    """Translates pictures with the styles that the memory holds for what is in them. H and W must be multiples of 4.

    stem             the source's part of its content encoder
    shared           the part that both domains have in common
    memory           the items, of both domains
    shared_decoder   the part of the decoders that both domains have in common
    decoder          the target's own part

    A style is one value for every item, S = I V numbers: by default those that the memory holds for the target. Takes
    any slots and gives none; reads by class where ``by_class``, else by all items.
    """

    kind = "content_memory"

    def __init__(
        self,
        stem: ContentStem,
        shared: SharedBlock,
        memory: ClassMemory,
        shared_decoder: SharedDecoder,
        decoder: DomainDecoder,
        domain: str,
        temperature: float = 1.0,
        by_class: bool = False,
    ) -> None:
        """domain: the target's letter in the memory. temperature: of reading."""
        super().__init__()
        self.stem, self.shared, self.memory = stem, shared, memory
        self.shared_decoder, self.decoder = shared_decoder, decoder
        self.domain, self.temperature, self.by_class = domain, temperature, by_class

    @classmethod
    def of(
        cls, ngf: int = 64, items: str = "10,5,2,3", domain: str = "B", temperature: str = "1.0",
        upsample: str = TRANSPOSED,
    ) -> MemoryGenerator:  # fmt: skip
        """The generator with this ``config``."""
        return cls(
            ContentStem(ngf),
            SharedBlock(ngf),
            ClassMemory([int(one) for one in items.split(",")], 4 * ngf, 2 * ngf),
            SharedDecoder(ngf, upsample),
            DomainDecoder(ngf, upsample),
            domain,
            float(temperature),
        )

    @property
    def style_size(self) -> int:
        """S."""
        return self.memory.values(self.domain).numel()

    @property
    def own_style(self) -> Tensor:
        """(S,): what the memory holds."""
        return self.memory.values(self.domain).flatten()

    @property
    def config(self) -> dict[str, Any]:
        return {
            "ngf": self.memory.keys.shape[1] // 4,
            "items": ",".join(map(str, self.memory.items)),
            "domain": self.domain,
            "temperature": str(self.temperature),
            **unusual(self.shared_decoder.upsample),
        }

    def forward(self, x: InstanceBatch, style: Any = None) -> InstanceBatch:
        """style: (B, S) or (1, S); None: what the memory holds."""
        masks = class_masks(x, len(self.memory.items)) if self.by_class else None
        return InstanceBatch.from_images(self.made(x.image, style, masks))

    def made(self, image: Tensor, style: Tensor | None = None, masks: Tensor | None = None) -> Tensor:
        """(B, 3, H, W) -> (B, 3, H, W). masks (B, K, h, w): of classes; None reads by all items."""
        values = self.memory.values(self.domain)  # (I, V)
        if style is not None:
            values = style.unflatten(1, values.shape)  # (B or 1, I, V)
        content = unit_content(self.stem, self.shared, image)  # (B, C, h, w)
        style_map = read(self.read_weights(content, masks), values)  # (B, V, h, w)
        return self.decoder(self.shared_decoder(content, style_map), style_map).to(image)

    def read_weights(self, content: Tensor, masks: Tensor | None = None) -> Tensor:
        """(B, I, h, w): how much each item counts at each position."""
        return self.memory.read_weights(content, self.memory.keys, masks, self.temperature)
