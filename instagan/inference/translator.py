"""The way to use a trained model: pictures and masks in any form in, translated pictures and masks out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from instagan.errors import InputError
from instagan.inference import attributes as given
from instagan.inference.control import Control, Strength
from instagan.inference.inputs import STYLE_SEED, Masks, Picture, Source, Style, batch_of, prepare, style_of
from instagan.inference.large import Pasted, TranslateConfig, translate_large
from instagan.inference.network import Network, choose_device
from instagan.inference.own_method import own_translator
from instagan.inference.result import Translation, belonging
from instagan.inference.sizes import SMALLEST_SIDE
from instagan.inference.trained import OwnMethodError, read_trained
from instagan.io.formats import RGB, Format, formats_of
from instagan.io.pasting import FEATHER, paste_background
from instagan.io.pixels import as_shown, mask_to_tensor, pixels_to_tensor, to_mask_picture, to_picture, to_pixels
from instagan.kernels import accelerate
from instagan.kernels.convolution import WIDE_ENOUGH
from instagan.kernels.processor import PRECISIONS
from instagan.structures.instances import InstanceBatch

DOMAINS = ("a", "b")


class Translator:
    """Translates pictures with their instances to the other domain.

    >>> from instagan import Translator
    >>> t = Translator.load("checkpoints/shapes")
    >>> out = t("photo.png", ["photo_0.png", "photo_1.png"])
    >>> out.picture.size, len(out.masks), out.present
    ((45, 38), 2, (True, True))

    Without instances there is nothing to translate; of a picture that has many, some may be left as they are:

    >>> t("photo.png").unchanged
    True
    >>> t("photo.png", ["photo_0.png", "photo_1.png"], ins_max=1).present.count(True)
    1
    >>> t("photo.png", ["photo_0.png", "photo_1.png"], instances=[1], strength=0.5).present
    (False, True)

    Pictures of any sizes together, which is faster than one by one and gives the same:

    >>> [out.picture.size for out in t.batch([("photo.png", ["photo_0.png"]), ("small.png", ["small_0.png"])])]
    [(45, 38), (9, 7)]

    A large picture keeps its resolution where nobody is, whatever the size at which the networks see it:

    >>> out = t("photo.png", ["photo_0.png"], max_side=32, crop_instances=True)
    >>> out.picture.size, out.seam is None
    ((45, 38), False)

    Nothing in a translator changes after it is made: any number of threads may use it at the same time.
    """

    def __init__(
        self, network: Network, card: dict[str, Any] | None = None, takes: Format = RGB, gives: Format = RGB
    ) -> None:
        """``load`` is the usual way. card: what is known about the model, for whoever wants to show it. takes, gives:
        how images are kept of the domain that it translates from, and of the one that it translates to."""
        self.network = network
        self.card = card or {}
        self.takes, self.gives = takes, gives

    @classmethod
    def load(
        cls,
        path: str | Path,
        to: str | None = None,
        device: torch.device | str | None = None,
        precision: str = "fp32",
        epoch: str | int = "latest",
    ) -> Translator:
        """A translator from a run folder, a checkpoint file, an exported model, or published weights.

        to: the domain to translate to, "a" or "b" as the folders of the data set are called; None: b, or a where the
        model translates that way only. device: "cpu", "cuda", "cuda:1", "mps"; None takes a GPU if there is one.
        precision: fp32, bf16 or fp16. epoch: which checkpoint of a folder. Only the generator of this direction is
        kept. No file's code is ever run; a method that only a checkout knows needs its run's folder, and the checkout.
        Raises ``InputError`` with what to do instead.
        """
        to = None if to is None else str(to).lower()
        if to not in (None, *DOMAINS):
            raise InputError(f"to={to!r} must be 'a' or 'b', the domain to translate to")
        if precision not in PRECISIONS:
            raise InputError(f"precision={precision!r} must be one of {', '.join(PRECISIONS)}")
        chosen = choose_device(device)
        try:
            trained = read_trained(Path(path), to, str(epoch))
        except OwnMethodError as error:
            own, to = own_translator(Path(path), to, str(epoch), chosen, precision, error)
            return cls(Network(own, None, chosen, precision), {"file": str(path), "to": to})
        translator = trained.build()
        generator = translator.generator.to(chosen)  # type: ignore[attr-defined]
        if chosen.type == "cpu" and trained.description.config["ngf"] >= WIDE_ENOUGH:  # takes less memory
            generator.to(memory_format=torch.channels_last)
        accelerate(generator)
        network = Network(translator, trained.description, chosen, precision)
        card = {"options": dict(trained.options), "file": trained.where, "to": trained.description.target.lower()}
        formats = {letter: replace(one, flags="") for letter, one in formats_of(trained.options).items()}
        ends = formats[trained.description.source], formats[trained.description.target]
        return cls(network, {**trained.card, **card}, *ends)

    @overload  # a list gives a list; the parameters that follow are those below
    def __call__(
        self,
        image: list[Picture],
        masks: Sequence[Masks] | None = None,
        labels: Sequence[Sequence[int] | None] | None = None,
        *ins_per_and_ins_max: Any,
        **how: Any,
    ) -> list[Translation]: ...

    @overload
    def __call__(
        self,
        image: Picture,
        masks: Masks = None,
        labels: Sequence[int] | None = None,
        *ins_per_and_ins_max: Any,
        **how: Any,
    ) -> Translation: ...

    def __call__(
        self,
        image: Any,
        masks: Any = None,
        labels: Any = None,
        ins_per: int | None = None,
        ins_max: int | None = None,
        *,
        max_side: int | None = None,
        crop_instances: bool | None = None,
        paste_background: bool = False,
        feather: int | None = None,
        tensors: bool = False,
        style: Style = None,
        targets: Any = None,
        instances: Sequence[int] | None = None,
        order: Sequence[int] | None = None,
        strength: Strength = 1.0,
        keypoints: Any = None,
        parts: Any = None,
    ) -> Translation | list[Translation]:
        """One picture with its masks; see ``instagan.inference.inputs`` for their forms. Masks must have its size.

        Of models of other images than RGB pictures of 8 bits, what comes out has ``values``, as their files have them.
        labels: category index of each mask. ins_per: instances at a time (default: as trained). ins_max: most
        instances that are translated, the largest (default: all). tensors: also return tensors.
        max_side: longer side at which the networks see a picture; a larger one is shrunk, and its instances are put
        back at full resolution, their edges fading over ``feather`` pixels (default: 4 of those that the networks saw)
        into the input, which is kept elsewhere. crop_instances: so with crops around a few instances at a time; None:
        where the model was trained so.
        paste_background: keeps every pixel that belongs to nobody in pictures of any size.
        style: an example picture or codes, for methods that translate in styles; None: the first of ``draw_styles``,
        so that the same call gives the same picture.
        targets: what each mask is to become, by name or label, for a model of many domains; one alone: of all.
        instances: numbers of the masks that are translated, counted from 0; the others are left as they are. order:
        numbers of those that are translated before all others, in this order. strength: from 0 (left as it is) to 1
        (as trained), one for all masks or one for each. None of them: all masks, in the model's order, as trained.
        keypoints, parts: what else each instance has, for a model that was trained with them (``--attribute``).
        A list of pictures takes a list of their masks (and labels, targets, ...) and gives a list, as ``batch`` does.
        Raises ``InputError`` for what cannot be read or does not fit together.
        """
        given = {"masks": masks, "labels": labels, "targets": targets, "keypoints": keypoints, "parts": parts}
        rows = _rows(image, given) if isinstance(image, list) else [(image, *given.values())]
        made = self.batch(
            rows, ins_per, ins_max, max_side=max_side, crop_instances=crop_instances,
            paste_background=paste_background, feather=feather, tensors=tensors, style=style,
            instances=instances, order=order, strength=strength,
        )  # fmt: skip
        return made if isinstance(image, list) else made[0]

    def batch(
        self,
        items: Iterable[Picture | tuple[Any, ...]],
        ins_per: int | None = None,
        ins_max: int | None = None,
        *,
        tensors: bool = False,
        style: Style = None,
        instances: Sequence[int] | None = None,
        order: Sequence[int] | None = None,
        strength: Strength = 1.0,
        rows: int = 8,
        **how: Any,
    ) -> list[Translation]:
        """Many pictures: (image, masks), (image, masks, labels), ..., (image, masks, labels, targets, keypoints, parts)
        each, in any sizes, at most ``rows`` at a time.

        style: one for all, or codes for each. instances, order, strength: as for one picture, the same for all; numbers
        that a picture has not are passed over. how: max_side, crop_instances, paste_background and feather.
        """
        _check(ins_per=(ins_per, 1), ins_max=(ins_max, 1))
        config = self.config(**how)
        read = partial(prepare, format=self.takes)
        sources = [read(*item) if isinstance(item, (tuple, list)) else read(item) for item in items]
        control = Control.of(instances, order, strength)
        control.check(self.network.translator)
        control.check_numbers(range(max((len(source.inside) for source in sources), default=0)))
        sources = [source.asked(control) for source in sources]
        return self.translate(sources, ins_per, ins_max, config=config, tensors=tensors, style=style, rows=rows)

    @property
    def categories(self) -> tuple[str, ...]:
        """What instances can become, by the names of a model of many domains, in the order of its labels; else none."""
        return tuple(getattr(self.network.generator, "categories", ()))

    @property
    def has_styles(self) -> bool:
        """Whether one picture has many translations, which a style tells apart."""
        return "style" in self.network.translator.needs

    def draw_styles(self, count: int, seed: int = STYLE_SEED) -> Tensor:
        """(count, S) styles from N(0, I), for ``style``: one a row. More of the same seed begin with the same ones.

        Raises ``InputError`` where the method has no styles.
        """
        _check(count=(count, 1), seed=(seed, 0))
        return self.network.translator.draw_styles(count, torch.Generator().manual_seed(seed))

    def config(
        self,
        max_side: int | None = None,
        crop_instances: bool | None = None,
        paste_background: bool = False,
        feather: int | None = None,
    ) -> TranslateConfig:
        """How pictures are translated. A crop is seen at most at the size at which the model was trained.

        crop_instances: None: as the model was trained."""
        _check(max_side=(max_side, SMALLEST_SIDE), feather=(feather, 0))
        if (max_side or crop_instances) and self.network.gives_masks and self.network.description is None:
            raise InputError("max_side and crop_instances need a method that tells how it translates; drop them")
        if (max_side or crop_instances or paste_background) and self.takes.channels != self.gives.channels:
            raise InputError(
                "max_side, crop_instances and paste_background keep a part of the input, and translations have other "
                f"channels ({self.gives.channels}) than inputs ({self.takes.channels}); drop them"
            )
        told = self.card.get("options", {})
        asked = {"max_side": max_side, "paste_background": paste_background, "feather": feather}
        crops = bool(told.get("instance_crops")) if crop_instances is None else crop_instances
        whole_levels = self.gives.type == np.uint8
        return TranslateConfig.as_trained(told, crop_instances=crops, whole_levels=whole_levels, **asked)

    def check_rgb(self, what: str) -> None:
        """Raises ``InputError`` where images have other channels than red, green and blue. what: cannot work then."""
        if (self.takes.channels, self.gives.channels) != (3, 3):
            raise InputError(
                f"{what} works on RGB images, and this model translates {self.takes.channels} channels to "
                f"{self.gives.channels}; use python -m instagan translate, or test.py"
            )

    def translate(
        self,
        sources: Sequence[Source],
        ins_per: int | None = None,
        ins_max: int | None = None,
        *,
        config: TranslateConfig | None = None,
        in_order: bool = False,
        tensors: bool = False,
        style: Style = None,
        rows: int = 8,
    ) -> list[Translation]:
        """Prepared pictures, in their order; those that the networks see at one size go through them together.

        style: one for all, or codes for each; None: one that is drawn, where the method has styles. in_order: masks are
        translated in their order, empty ones keeping their place among those of a mini-batch.
        """
        sources = [given.fitting(self.network, self._asked(source), config) for source in sources]
        styles = self._styles(style, len(sources))
        done: dict[int, Translation] = {}
        groups: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for number, source in enumerate(sources):
            if config and config.needed_for(source):
                made = translate_large(self.network, source, config, ins_per, ins_max, in_order, styles([number]))
                done[number] = self._pasted(source, made, tensors)
            else:
                groups[source.widening.padded].append(number)
        for numbers in groups.values():
            for start in range(0, len(numbers), rows):
                chunk = numbers[start : start + rows]
                each = [batch_of(sources[number], given.count(self.network)).drawn() for number in chunk]
                together = self.network.run(InstanceBatch.cat(each), ins_per, ins_max, in_order, styles(chunk))
                for row, number in enumerate(chunk):
                    done[number] = self._translation(sources[number], together[[row]], tensors)
        if config and config.paste_background:
            keep = partial(_with_background, config=config, gives=self.gives)
            return [keep(source, done[number]) for number, source in enumerate(sources)]
        return [done[number] for number in range(len(sources))]

    def _asked(self, source: Source) -> Source:
        """With labels as targets. Raises ``InputError`` where they are missing, unknown, or not wanted."""
        names, targets = self.categories, source.targets
        if not names:
            if targets is not None:
                raise InputError("this model translates to one domain, which needs no targets; drop them")
            return source
        if targets is None and source.inside.any():
            raise InputError(
                f"this model makes of each instance one of {', '.join(names)}: tell which with targets (--targets)"
            )
        known: dict[str | int, int] = {name: label for label, name in enumerate(names)}
        known |= {label: label for label in range(len(names))}
        if unknown := [target for target in targets or () if target not in known]:
            raise InputError(f"{unknown[0]!r} is nothing that this model can make; it knows {', '.join(names)}")
        return replace(source, targets=tuple(known[target] for target in targets or [0] * len(source.inside)))

    def _styles(self, style: Style, count: int) -> Callable[[list[int]], Tensor | InstanceBatch | None]:
        """The style of pictures by their numbers, out of 0 ... count - 1."""
        translator = self.network.translator
        given = style_of(style, translator.style_size)
        translator.check_style(given, count)
        if given is None and translator.draws_styles:
            given = self.draw_styles(1)
        return lambda numbers: given if given is None or len(given) == 1 else given[numbers]

    def _translation(self, source: Source, made: InstanceBatch, tensors: bool) -> Translation:
        """One row of a batch at its own size."""
        cut = source.widening.cut
        count = len(source.inside) if self.network.knows_instances else min(made.slot_count, max(len(source.inside), 1))
        image, soft = cut(made.image[0]), cut(made.masks[0, :count])  # (3, H, W), (count, H, W)
        present = tuple(made.present[0, :count].tolist())
        unchanged = self._needs_instances and not any(present)
        return Translation(
            to_picture(image),
            [to_mask_picture(mask) for mask in soft],
            present,
            unchanged=unchanged,
            note=self._note(source, present),
            values=self._values(source.pixels if unchanged else to_pixels(image, self.gives.type == np.uint8)),
            image=image.clone() if tensors else None,
            soft_masks=soft.clone() if tensors else None,
            keypoints=given.points_made(self.network, made, count),
            parts=given.labels_made(self.network, made, count, cut),
        )

    def _pasted(self, source: Source, made: Pasted, tensors: bool) -> Translation:
        return Translation(
            as_shown(made.pixels),
            [Image.fromarray(mask) for mask in made.levels],
            made.present,
            unchanged=self._needs_instances and not any(made.present),
            note=self._note(source, made.present),
            values=self._values(made.pixels),
            seam=made.seam,
            image=pixels_to_tensor(made.pixels) if tensors else None,
            soft_masks=mask_to_tensor(made.levels > 0) if tensors else None,
        )

    @property
    def _needs_instances(self) -> bool:
        """Whether a picture without any stays as it is: it cannot where translations have other channels."""
        return self.network.knows_instances and not self.network.translator.at_once

    def _values(self, pixels: np.ndarray) -> np.ndarray | None:
        """What a file of translations holds, (H, W, C); None of RGB pictures."""
        return None if self.gives.is_rgb else self.gives.values(pixels)

    def _note(self, source: Source, present: tuple[bool, ...]) -> str:
        if self.network.translator.at_once:
            return ""
        if self.network.knows_instances:
            return "" if any(present) else "there is no instance to translate: the picture is unchanged"
        if len(source.inside) == 0 or self.network.description is None or "boxes" in self.network.translator.needs:
            return ""
        return "the masks are translated as one" if self.network.gives_masks else "the masks are not looked at"


def _check(**given: tuple[int | None, int]) -> None:
    """Raises ``InputError`` unless each is None or a whole number of its least value or more."""
    for name, (value, least) in given.items():
        if value is not None and (not isinstance(value, int) or value < least):
            raise InputError(f"{name}={value!r} must be a whole number of {least} or more")


def _with_background(source: Source, made: Translation, config: TranslateConfig, gives: Format) -> Translation:
    """The input where nobody is, neither before nor after; it is so already where large pictures are put together."""
    if made.unchanged or made.seam:
        return made
    if len(source.inside) == 0:
        raise InputError("without masks nothing is background; pass masks or drop paste_background")
    feather = FEATHER if config.feather is None else config.feather
    own = source.levels if config.whole_levels else source.shares.astype(np.float64)
    new = np.asarray(made.picture) if made.values is None else gives.pixels(made.values, "the translation")  # (H, W, C)
    pixels, seam = paste_background(own, new, belonging(source, made), feather)
    image = None if made.image is None else pixels_to_tensor(pixels)
    values = None if made.values is None else gives.values(pixels)
    return replace(made, picture=as_shown(pixels), values=values, seam=seam, image=image)


def _rows(images: list[Any], given: Mapping[str, Sequence[Any] | None]) -> list[tuple[Any, ...]]:
    """Lists that belong together, masks, labels, ... by name -> (image, masks, labels, ...) of each."""
    for name, one in given.items():
        if one is not None and (isinstance(one, str) or len(one) != len(images)):
            count = "one" if isinstance(one, str) else len(one)
            raise InputError(f"there are {len(images)} images and {name} of {count}; pass a list of {name} for each")
    nothing = [None] * len(images)
    return list(zip(images, *(nothing if one is None else one for one in given.values()), strict=True))
