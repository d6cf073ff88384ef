"""Flags of python -m instagan translate, and which of them go together."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from instagan.cli.finding import add_detector_flags
from instagan.cli.labelled import check_save_coco
from instagan.errors import InputError
from instagan.flag_types import fraction, levels, whole
from instagan.inference.control import CONTROL_FLAGS, add_control_flags
from instagan.inference.inputs import STYLE_SEED
from instagan.inference.sizes import SMALLEST_SIDE
from instagan.inference.styles import STYLE_FLAGS, add_style_flags
from instagan.inference.translator import DOMAINS
from instagan.io.categories import names_by_place, split_names
from instagan.io.pasting import FEATHER
from instagan.io.reading import LOSSY
from instagan.kernels.processor import PRECISIONS


def add_options(parser: ArgumentParser) -> None:
    model = parser.add_argument_group("model")
    add = model.add_argument
    add("--model", required=True, type=Path, help="run folder, checkpoint, exported model or published weights")
    add("--to", choices=DOMAINS, help="domain to translate to (default: b, or the only one that the model knows)")
    add("--epoch", default="latest", help="checkpoint of a run folder: an epoch's number, or latest")
    add("--device", help="cpu, cuda, cuda:1, mps (default: a GPU if there is one)")
    add("--precision", choices=tuple(PRECISIONS), default="fp32", help="precision of the networks")
    add("--ins_per", type=whole(1), metavar="N", help="instances translated at a time (default: as trained)")
    add("--ins_max", type=whole(1), metavar="N", help="most instances of an image, the largest (default: all)")
    add_control_flags(add)
    add = parser.add_argument_group("pictures and masks").add_argument
    add("--image", type=Path, metavar="FILE", help="one image")
    add("--masks", type=Path, nargs="+", metavar="FILE", help="its masks, one for each instance")
    add("--images", type=Path, metavar="DIR", help="a folder of images")
    add(
        "--masks_dir", type=Path, metavar="DIR", help="their masks: NAME_0.png, NAME_1.png, ..., or label maps NAME.png"
    )
    add("--annotations", type=Path, metavar="FILE", help="json in COCO's format, with --category")
    add(
        "--category", type=split_names, metavar="NAME[,NAME]", help="categories to use from --annotations or --detector"
    )
    add("--crowd_as_instances", action="store_true", help="--annotations: take crowd regions as instances, too")
    add("--input_range", type=levels, metavar="BLACK-WHITE", help="images of more than 8 bits: as in training")
    add("--skip_bad", action="store_true", help="leave out what is bad, as little as can be, and name it at the end")
    add("--video", type=Path, metavar="FILE", help="a video, with --masks_dir: FRAME_0.png, FRAME_1.png, ..., from 0")
    add(
        "--targets", type=names_by_place, metavar="NAME[,NAME]",
        help="of a model of many domains: what each mask becomes, in their order; one name: all of them",
    )  # fmt: skip
    add = parser.add_argument_group("styles, of models that have them").add_argument
    add_style_flags(add)
    add("--seed", type=whole(0, 2**32 - 1), default=STYLE_SEED, metavar="N", help="random seed of --styles")
    add = parser.add_argument_group("detector").add_argument
    add("--detector", action="store_true", help="find the instances with torchvision's Mask R-CNN")
    add_detector_flags(add)
    add = parser.add_argument_group("results").add_argument
    add("--output", type=Path, metavar="FILE", help="the translated image or video")
    add("--output_masks", type=Path, metavar="DIR", help="folder for the translated masks of a video: FRAME_k.png")
    add("--output_dir", type=Path, metavar="DIR", help="folder for the translated images")
    add(
        "--resume", action="store_true",
        help="go on in --output_dir: what an earlier run with the same model and flags has left whole stays",
    )  # fmt: skip
    add(
        "--save_coco", action="store_true",
        help="--annotations: also write annotations.json, the translated images with what they are labelled with",
    )  # fmt: skip
    add(
        "--target_category",
        metavar="NAME",
        help="--save_coco: what instances have become (default: what --targets says, else as in --category)",
    )
    add(
        "--max_side", type=whole(SMALLEST_SIDE), metavar="N",
        help="longer side at which the networks see an image; of a larger one the instances are put back as large",
    )  # fmt: skip
    add(
        "--crop_instances", action="store_true", default=None,
        help="the networks see crops around a few instances at a time, of at most --max_side (default: as trained); "
        "a model trained with --instance_crops always does",
    )  # fmt: skip
    add("--paste_background", action="store_true", help="keep every pixel outside of all instances as it was")
    add("--feather", type=whole(0), metavar="N", help=f"its edge fades over so many pixels (default: {FEATHER})")
    add(
        "--temporal_blend", type=fraction, metavar="ALPHA",
        help="share of the frame before in each frame of a video, from 0 to below 1, where that shows the same",
    )  # fmt: skip


def targets_of(options: Namespace) -> str | list[str] | None:
    """What --targets says of each instance, or of all."""
    named: list[str] | None = options.targets
    return named[0] if named and len(named) == 1 else named or None


def check(options: Namespace) -> None:
    """Raises ``InputError`` naming a flag that does not fit the others."""
    if options.feather is not None and not (options.paste_background or options.max_side or options.crop_instances):
        raise InputError("--feather belongs to --paste_background, --max_side or --crop_instances; add one or drop it")
    if options.paste_background and options.output and options.output.suffix.lower() in LOSSY:
        raise InputError(f"--output {options.output}: jpeg changes every pixel, also of the background; use .png")
    for flag in ("weights", "names"):
        if getattr(options, flag) and not options.detector:
            raise InputError(f"--{flag} belongs to --detector; add that or drop it")
    check_save_coco(options)
    if options.resume and not options.images:
        raise InputError("--resume belongs to --images; drop it")
    if options.video:
        _check_video(options)
    elif options.temporal_blend is not None or options.output_masks:
        flag = "--output_masks" if options.output_masks else "--temporal_blend"
        raise InputError(f"{flag} belongs to --video; drop it")


def _check_video(options: Namespace) -> None:
    others = ("image", "images", "masks", "annotations", "detector", "output_dir", "skip_bad")
    for flag in (*others, *STYLE_FLAGS, *CONTROL_FLAGS):
        if getattr(options, flag):
            reason = "; a detector does not know who is who from frame to frame" if flag == "detector" else ""
            raise InputError(f"--{flag} does not go with --video{reason}; drop it")
    if not options.output:
        raise InputError("--output is missing: pass the video to write, such as --output out.mp4")
    if not options.masks_dir:
        raise InputError("--masks_dir is missing: pass the folder of the masks, FRAME_0.png, FRAME_1.png, ...")
    if options.output_masks and options.output_masks.resolve() == options.masks_dir.resolve():
        raise InputError(f"--output_masks {options.output_masks} would be written over --masks_dir; pass another place")
