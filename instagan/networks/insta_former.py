"""InstaFormer's networks: the content of a picture is cut into patches and objects, whose tokens a transformer turns
into another style (Kim, Baek, Park, Kim, Kim, InstaFormer: Instance-Aware Image-to-Image Translation with Transformer,
CVPR 2022).

Letters: B pictures in a batch, N object slots, S numbers of a style, C = 4 ngf channels of a content map, h x w = H/4 x
W/4 its size, p side of a patch in its cells, gh x gw grid of patches, T = gh gw + N tokens of E numbers each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from instagan.networks import anti_aliased
from instagan.networks.drit import layer_norm
from instagan.networks.normalisation import BatchNorm2d, InstanceNorm2d
from instagan.networks.roi_align import roi_align_slots
from instagan.networks.taps import features_at
from instagan.structures.instances import InstanceBatch

STRIDE = 4
"""Pixels of a picture for each cell of a content map."""
ADAIN_EPS = 1e-6


@dataclass(frozen=True, eq=False)
class Objects:
    """Where objects are. boxes (B, N, 4): left, top, right, bottom as shares of the picture's width and height; there
    (B, N) bool, on the same device: which slots hold one."""

    boxes: Tensor
    there: Tensor

    @classmethod
    def of(cls, x: InstanceBatch) -> Objects:
        height, width = x.image.shape[2:]
        left, top, right, bottom = x.boxes.unbind(2)  # (B, N) each
        boxes = torch.stack([left / width, top / height, right / width, bottom / height], dim=2)  # (B, N, 4)
        return cls(boxes, x.present.to(x.image.device, non_blocking=True))

    @property
    def slot_count(self) -> int:
        """N."""
        return self.boxes.shape[1]


class StyleEncoder(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> style (B, S): the layers of a content encoder, their mean, a linear map. 0.381 M
    parameters at ngf 64. norm: "instance" as published, or "none", which keeps how bright and colourful an image is."""

    def __init__(self, ngf: int = 64, style_size: int = 8, norm: str = "instance") -> None:
        super().__init__()
        self.layers = anti_aliased.encoder(ngf, norm, 0)
        self.code = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4 * ngf, style_size, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.code(self.layers(image)).flatten(1).to(image)  # (B, S)


class Positions(nn.Module):
    """Where a token is, in E numbers that are not learnt: sinusoids of its line, column, height and width, E/4 each.

    extent (2,) long: height and width of the content maps of training. Lines and columns of other maps are places
    between those, so that the middle of a picture stays the middle. It is kept in a checkpoint.
    """

    extent: Tensor

    def __init__(self, width: int, patch: int, extent: Sequence[int]) -> None:
        super().__init__()
        self.width, self.patch = width, patch
        self.register_buffer("extent", torch.tensor(extent))

    def of_patches(self, grid: tuple[int, int], cells: tuple[int, int], like: Tensor) -> Tensor:
        """Of a grid of gh x gw patches on h x w cells: (gh gw, E)."""
        of_line, of_column = (self._along(axis, grid[axis], cells[axis], like) for axis in (0, 1))
        size = sinusoids(like.new_tensor([self.patch - 1.0]), self.width // 4)  # (1, E/4)
        height, width = grid
        parts = [of_line[:, None], of_column[None], size[None], size[None]]
        return torch.cat([part.expand(height, width, -1) for part in parts], dim=2).flatten(0, 1)  # (gh gw, E)

    def _along(self, axis: int, count: int, cells: int, like: Tensor) -> Tensor:
        """Of patches along one axis, (count, E/4): in the middle of a patch, between two cells of training's map."""
        extent = self.extent[axis].to(like.dtype)
        middle = torch.arange(count, device=like.device).to(like.dtype) * self.patch + self.patch / 2
        at = torch.minimum((middle * extent / cells - 0.5).clamp(min=0), extent - 1)  # (count,)
        before = at.floor()
        share = (at - before)[:, None]
        return (1 - share) * sinusoids(before, self.width // 4) + share * sinusoids(before + 1, self.width // 4)

    def of_boxes(self, boxes: Tensor, like: Tensor) -> Tensor:
        """Of boxes (B, N, 4), shares of the picture: (B, N, E). Their middles and sizes, in whole cells."""
        left, top, right, bottom = boxes.to(like.dtype).unbind(2)  # (B, N) each
        shares = torch.stack([(top + bottom) / 2, (left + right) / 2, bottom - top, right - left], dim=2)  # (B, N, 4)
        cells = (shares * (self.extent.repeat(2) - 1)).trunc()  # (B, N, 4)
        return sinusoids(cells, self.width // 4).flatten(2)  # (B, N, E)


def sinusoids(positions: Tensor, numbers: int) -> Tensor:
    """(...) -> (..., numbers): sine and cosine by turns, of wavelengths from 2 pi to 20,000 pi."""
    even = torch.arange(0, numbers, 2, dtype=positions.dtype, device=positions.device)
    angle = positions[..., None] * 10_000.0 ** (-even / numbers)  # (..., numbers / 2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)  # (..., numbers)


def adaptive_norm(tokens: Tensor, numbers: Tensor, there: Tensor | None = None) -> Tensor:
    """AdaIN: every channel is normalised over the tokens of its picture, then scaled and shifted. Keeps (B, T, E).

    numbers (B, 2 E): shifts, then scales. there (B, T): the tokens that count; None: all.
    """
    wide = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
    shift, scale = numbers[:, None].chunk(2, dim=2)  # (B, 1, E) each
    if there is None:
        variance, mean = torch.var_mean(wide, 1, correction=0, keepdim=True)  # (B, 1, E)
    else:
        counted = there[..., None].to(wide)  # (B, T, 1)
        share = counted / counted.sum(1, keepdim=True)
        mean = (wide * share).sum(1, keepdim=True)
        variance = ((wide - mean).square() * share).sum(1, keepdim=True)
    return (shift + scale * (wide - mean) * (variance + ADAIN_EPS).rsqrt()).to(tokens)


class Block(nn.Module):
    """z + attention(AdaIN(z)), then z + MLP(AdaIN(z)). Linear layers are in a Sequential, which can be accelerated."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Sequential(nn.Linear(width, 3 * width))
        self.out = nn.Sequential(nn.Linear(width, width))
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor, numbers: Sequence[Tensor], there: Tensor | None) -> Tensor:
        """tokens (B, T, E); numbers: (B, 2 E) for the first and the second AdaIN; there (B, T), None: all tokens."""
        tokens = tokens + self.attention(adaptive_norm(tokens, numbers[0], there), there)
        return tokens + self.mlp(adaptive_norm(tokens, numbers[1], there)).to(tokens)

    def attention(self, tokens: Tensor, there: Tensor | None) -> Tensor:
        """Of every token to all that are there: (B, T, E) -> (B, T, E)."""
        query, key, value = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = None if there is None else there[:, None, None]  # (B, 1, 1, T)
        found = functional.scaled_dot_product_attention(query, key, value, seen)  # (B, heads, T, E / heads)
        return self.out(found.transpose(1, 2).flatten(2)).to(tokens)


@dataclass(frozen=True, eq=False)
class Embedded:
    """tokens (B, T, E): patches row by row, then objects; grid (gh, gw); which tokens take part (B, T), None: all."""

    tokens: Tensor
    grid: tuple[int, int]
    there: Tensor | None


class TokenTransformer(nn.Module):
    """Content map -> tokens of its patches and objects -> tokens in another style. 94.17 M parameters at E 1024."""

    def __init__(
        self, channels: int, width: int, depth: int, heads: int, patch: int, extent: Sequence[int],
        mask_padding: bool = True,
    ) -> None:  # fmt: skip
        """mask_padding: slots without an object take no part. As published, they are tokens of zero features."""
        super().__init__()
        self.patch, self.mask_padding = patch, mask_padding
        self.patches, self.boxes = (patch_embedding(channels, width, patch) for _ in range(2))
        self.positions = Positions(width, patch, extent)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))

    def regions(self, content: Tensor, objects: Objects) -> Tensor:
        """What the content (B, C, h, w) is in each object's box, zeros in slots without one: (B, N, C, p, p)."""
        height, width = content.shape[2:]
        boxes = objects.boxes * objects.boxes.new_tensor([width, height, width, height])
        return roi_align_slots(content, boxes, objects.there, (self.patch, self.patch))

    def embed(self, content: Tensor, objects: Objects, regions: Tensor | None = None) -> Embedded:
        """content (B, C, h, w); regions (B, N, C, p, p): those of the objects, where they are known already."""
        of_patches = self.patches(content).to(content)  # (B, E, gh, gw)
        grid, cells = ((maps.shape[2], maps.shape[3]) for maps in (of_patches, content))
        tokens = of_patches.flatten(2).transpose(1, 2) + self.positions.of_patches(grid, cells, content)
        if not objects.slot_count:
            return Embedded(tokens, grid, None)
        if regions is None:
            regions = self.regions(content, objects)
        of_objects = self.boxes(regions.flatten(0, 1)).to(content).unflatten(0, regions.shape[:2])[..., 0, 0]
        of_objects = of_objects + self.positions.of_boxes(objects.boxes, content)  # (B, N, E)
        there = None
        if self.mask_padding:
            there = torch.cat([objects.there.new_ones(tokens.shape[:2]), objects.there], dim=1)  # (B, T)
        return Embedded(torch.cat([tokens, of_objects], dim=1), grid, there)

    def forward(
        self, content: Tensor, objects: Objects, numbers: Tensor, regions: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """content (B, C, h, w), numbers (B, L, 2 E) of L = 1 or 2 depth AdaIN layers, regions as for ``embed``.

        Returns the tokens of patches as a map (B, E, gh, gw), and those of objects (B, N, E).
        """
        embedded = self.embed(content, objects, regions)
        tokens, (height, width) = embedded.tokens, embedded.grid
        of_layers = numbers.expand(-1, 2 * len(self.blocks), -1).unflatten(1, (-1, 2)).unbind(1)
        for block, of_block in zip(self.blocks, of_layers, strict=True):
            tokens = block(tokens, of_block.unbind(1), embedded.there)  # (B, T, E)
        of_patches, of_objects = tokens[:, : height * width], tokens[:, height * width :]
        return of_patches.transpose(1, 2).unflatten(2, (height, width)), of_objects


def patch_embedding(channels: int, width: int, patch: int) -> nn.Sequential:
    """(B, C, h, w) -> (B, E, h/p, w/p), rounding up: convolutions of stride 2, nothing in between. p: 2, 4, 8, ..."""
    steps = patch.bit_length() - 1
    widths = [channels, *[2 * channels] * (steps - 1), width]
    strided = [nn.Conv2d(widths[step], widths[step + 1], 3, stride=2, padding=1) for step in range(steps)]
    return nn.Sequential(*strided, nn.Conv2d(width, width, 1))


class Decoder(nn.Module):
    """Tokens -> pictures in [-1, 1]: every token becomes a patch of the content map, which convolutions decode.

    objects: also decodes tokens of objects, each as a picture of its own (figure of the paper).
    norm: channels -> a layer; instance norm as published.
    """

    def __init__(
        self, ngf: int, width: int, patch: int, objects: bool = False,
        norm: Callable[[int], nn.Module] = InstanceNorm2d,
    ) -> None:  # fmt: skip
        super().__init__()
        self.expansion = nn.ConvTranspose2d(width, 4 * ngf, patch, stride=patch)
        self.object_expansion = nn.ConvTranspose2d(width, 4 * ngf, patch, stride=patch) if objects else None
        self.layers = anti_aliased.decoder(ngf, norm)

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Tokens of patches (B, E, gh, gw), for a content map of h x w -> (B, 3, 4 h, 4 w)."""
        height, width = size
        expanded = self.expansion(tokens)  # (B, C, gh p, gw p)
        if torch.compiler.is_compiling():  # a slice would tie a graph to sizes that fill their last patch, or never do
            for axis, side in ((2, height), (3, width)):
                expanded = expanded.index_select(axis, torch.arange(side, device=tokens.device))
        expanded = expanded[..., :height, :width]  # (B, C, h, w)
        return self.layers(expanded).to(tokens)  # (B, 3, H, W)

    def of_objects(self, tokens: Tensor) -> Tensor:
        """Tokens of objects (P, E) -> pictures of them (P, 3, 4 p, 4 p)."""
        assert self.object_expansion is not None, "the decoder was built without objects"
        return self.layers(self.object_expansion(tokens[:, :, None, None])).to(tokens)


class InstaFormerGenerator(nn.Module):
    """Translates pictures, each in a style: G(x, s) = decoder(transformer(content(x), mapping(s))).

    Takes any slots, whose objects may help, and gives none. H and W must be multiples of 4.

    width           E, numbers of a token: a multiple of 8 and of ``heads``
    extent          height and width of the content maps of training, H/4 and W/4
    separate_adain  every AdaIN layer has numbers of its own; as published, all share the same
    decodes_objects what the loss of decoded objects needs; translating does not
    keeps_means     the decoder has layer norm, the style encoder none. Published: instance norm in both, which takes
                    the mean of every channel away, so that a style can hardly set brightness and colours
    """

    kind = "insta_former"

    def __init__(
        self, ngf: int = 64, style_size: int = 8, mlp_width: int = 256, width: int = 1024, depth: int = 6,
        heads: int = 4, patch: int = 8, separate_adain: bool = False, mask_padding: bool = True,
        decodes_objects: bool = False, extent: Sequence[int] = (88, 88), keeps_means: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.config = {
            "ngf": ngf, "style_size": style_size, "mlp_width": mlp_width, "width": width, "depth": depth,
            "heads": heads, "patch": patch, "separate_adain": separate_adain, "mask_padding": mask_padding,
            "decodes_objects": decodes_objects, "keeps_means": keeps_means,
        }  # fmt: skip
        self.style_size, self.adain_layers = style_size, 2 * depth if separate_adain else 1
        self.content = anti_aliased.encoder(ngf, "instance", 0)
        self.style = StyleEncoder(ngf, style_size, "none" if keeps_means else "instance")
        self.mapping = nn.Sequential(
            nn.Linear(style_size, mlp_width), nn.ReLU(inplace=True),
            nn.Linear(mlp_width, mlp_width), nn.ReLU(inplace=True),
            nn.Linear(mlp_width, self.adain_layers * 2 * width),
        )  # fmt: skip
        self.transformer = TokenTransformer(4 * ngf, width, depth, heads, patch, extent, mask_padding)
        self.decoder = Decoder(ngf, width, patch, decodes_objects, layer_norm if keeps_means else InstanceNorm2d)

    def forward(self, x: InstanceBatch, style: Any = None) -> InstanceBatch:
        """style: codes (B, S) or (1, S); an ``InstanceBatch`` of B examples or one; None: drawn from N(0, I)."""
        if style is None:
            style = torch.randn(len(x), self.style_size)
        codes = self.style(style.image) if isinstance(style, InstanceBatch) else style
        content = self.content(x.image).to(x.image)  # (B, C, h, w)
        image, _ = self.decode(content, Objects.of(x), codes.to(x.image).expand(len(x), -1))
        return InstanceBatch.from_images(image)

    def made(self, image: Tensor, codes: Tensor) -> Tensor:
        """(B, 3, H, W), (B, S) -> (B, 3, H, W), with no object known."""
        none = Objects.of(InstanceBatch.from_images(image))
        return self.decode(self.content(image).to(image), none, codes)[0]

    def encode(self, image: Tensor, taps: Sequence[int]) -> tuple[list[Tensor], Tensor]:
        """What the content encoder's layers of these numbers give, and the content (B, C, h, w)."""
        *features, content = (one.to(image) for one in features_at(self.content, image, (*taps, -1)))
        return features, content

    def decode(
        self, content: Tensor, objects: Objects, codes: Tensor, regions: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Content (B, C, h, w) in a style (B, S): pictures (B, 3, H, W), and the tokens of their objects (B, N, E).

        regions (B, N, C, p, p): of the content, where they are known already.
        """
        numbers = self.mapping(codes).to(codes).unflatten(1, (self.adain_layers, -1))  # (B, L, 2 E)
        of_patches, of_objects = self.transformer(content, objects, numbers, regions)
        return self.decoder(of_patches, content.shape[2:]), of_objects

    def channels(self, taps: Sequence[int]) -> list[int]:
        """How many channels the features of these layers have."""
        with torch.no_grad():
            example = torch.zeros((1, 3, 8, 8), device=next(self.parameters()).device)
            return [features.shape[1] for features in features_at(self.content, example, taps)]


class BatchNormDiscriminator(nn.Module):
    """Scores the patches of pictures, the higher the more real: CUT's discriminator with batch norm, so that what it
    says of a picture depends on those beside it.

    Returns (B, 1, H/2^layers - 2, W/2^layers - 2). 2.766 M parameters at ndf 64.
    """

    def __init__(self, ndf: int = 64, layers: int = 3) -> None:
        super().__init__()
        self.layers = anti_aliased.patch_layers(ndf, layers, BatchNorm2d, biases=False)

    def forward(self, x: InstanceBatch) -> Tensor:
        return self.layers(x.image).to(x.image)  # (B, 1, h - 2, w - 2)
