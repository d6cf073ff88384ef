"""What a model is told of each instance, ``--attribute``: its mask, its box, its mask with keypoints, or its parts."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping

from data.entries import Domain
from instagan.errors import InputError
from instagan.structures.attributes import BOXES, KEYPOINTS, MASKS, PARTS


def attribute_of(options: Namespace) -> str:
    """Of a method that knows masks alone, that."""
    return getattr(options, "attribute", MASKS)


def check_attribute(options: Namespace) -> None:
    """Raises ``InputError`` for flags of training that do not go together."""
    attribute = attribute_of(options)
    if attribute in (MASKS, BOXES) and getattr(options, "attribute_channels", None) is not None:
        raise InputError(
            f"--attribute_channels counts keypoints or parts, and --attribute {attribute} has none; drop it"
        )
    if attribute == PARTS and options.dataset_mode != "unaligned_seg":
        raise InputError(
            f"--attribute parts reads label maps, which --dataset_mode {options.dataset_mode} has not; "
            "use --dataset_mode unaligned_seg"
        )
    if attribute == PARTS and options.attribute_channels is None:
        raise InputError("--attribute parts needs --attribute_channels, the number of parts of an instance")
    if attribute in (PARTS, BOXES) and options.mask_noise:
        raise InputError(
            f"--mask_noise damages masks, and --attribute {attribute} looks at {attribute}; drop one of them"
        )
    if attribute in (KEYPOINTS, PARTS) and options.instance_crops:
        raise InputError(f"--instance_crops translates masks in windows, without {attribute}; drop it or --attribute")
    if attribute == PARTS and (options.box_least_share or options.box_least_side):
        raise InputError(
            "--box_least_share and --box_least_side are for masks and boxes; drop them or --attribute parts"
        )


def check_keypoints(options: Namespace, domains: Mapping[str, Domain]) -> None:
    """Raises ``InputError`` where ``--attribute keypoints`` finds none, or more than ``--attribute_channels`` says."""
    if attribute_of(options) != KEYPOINTS:
        return
    for letter, domain in domains.items():
        most = _most_keypoints(domain, letter)
        if most == 0:
            raise InputError(
                f"--attribute keypoints: the data set tells no keypoints of {domain.title}; prepare it with "
                "scripts/prepare_coco.py --keypoints, or train from a json that has them with --dataset_mode coco"
            )
        if options.attribute_channels is not None and most > options.attribute_channels:
            raise InputError(
                f"{domain.title} has {most} keypoints, but --attribute_channels is {options.attribute_channels}; "
                f"use {most} or more, or a run that was trained with so many"
            )


def count_channels(options: Namespace, domains: Mapping[str, Domain]) -> int | None:
    """How many keypoints or parts an instance has at most, in any domain; None where nobody looks at them."""
    if attribute_of(options) != KEYPOINTS or options.attribute_channels is not None:
        return getattr(options, "attribute_channels", None)
    return max(_most_keypoints(domain, letter) for letter, domain in domains.items())


def _most_keypoints(domain: Domain, letter: str) -> int:
    return max((len(category.keypoints) for category in domain.categories.get(letter, ())), default=0)
