#!/usr/bin/env python
"""Makes a two-domain data set from your own pictures, annotated in one of several ways or not at all.

    python scripts/prepare_masks.py --format label_maps --images1 cows --masks1 cows_labels --images2 ... --masks2 ...
    python scripts/prepare_masks.py --format labelme --images1 pictures --cat1 cow,sheep --cat2 giraffe ...
    python scripts/prepare_masks.py --detector --images1 pictures --cat1 sheep --cat2 giraffe ...

With only --images1, both domains are looked for in the same pictures. Stopped, it goes on where it was when run again.
All formats, and what is written, are told in docs/data.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data.preparing.digests import digest  # noqa: E402
from data.preparing.own_masks import FORMATS, Reading, Side, plan_own  # noqa: E402
from data.preparing.tasks import Plan, Task  # noqa: E402
from instagan.errors import InputError  # noqa: E402
from instagan.flag_types import fraction, levels_of, spans, whole  # noqa: E402
from instagan.io.reading import ALL_LEVELS  # noqa: E402
from instagan.io.text_files import read_class_names  # noqa: E402
from scripts.preparation import add_split, bar, category_names, parser_for, run  # noqa: E402


def plan(args: argparse.Namespace) -> Plan | tuple[Plan, Callable[[Iterable[Task]], Iterable[Task]]]:
    if bool(args.detector) == bool(args.format):
        raise InputError(f"pass --format ({', '.join(FORMATS)}) for annotated images, or else --detector")
    if (args.cat1 is None) != (args.cat2 is None):
        raise InputError("pass both --cat1 and --cat2, or neither")
    if args.detector:
        return plan_detection(args)
    if args.images2 is None and args.cat1 is None:
        raise InputError("pass --images2 for domain B, or tell the domains apart by --cat1 and --cat2")
    names = category_names(args) if args.cat1 else None
    ignored = tuple(span for spans in args.ignore for span in spans)
    classes = read_class_names(args.names) if args.names else ()
    suffixes = args.image_suffix, args.mask_suffix
    reading = Reading(args.format, names, ignored, classes, args.via_attribute, *suffixes)
    if args.format == "label_maps" and args.images2 is None:
        raise InputError("label maps tell no categories; pass the images of domain B as --images2 and --masks2")
    masks1, masks2 = (masks or images for masks, images in ((args.masks1, args.images1), (args.masks2, args.images2)))
    if args.images2 is None:
        sides = [Side(args.images1, masks1, ("A", "B"))]
    else:
        sides = [Side(args.images1, masks1, ("A",)), Side(args.images2, masks2, ("B",))]
    return plan_own(sides, reading, args.val_share, args.seed, args.workers, bar("reading annotations"))


def plan_detection(args: argparse.Namespace) -> tuple[Plan, Callable[[Iterable[Task]], Iterable[Task]]]:
    import torch

    from data.preparing.detector import detected, plan_detector
    from instagan.io.detector import detector_classes, load_detector

    if args.cat1 is None:
        raise InputError("--detector needs --cat1 and --cat2, what to look for in the images")
    classes = list(read_class_names(args.names)) if args.names else detector_classes()
    sides = [(args.images1, ("A",)), (args.images2, ("B",))] if args.images2 else [(args.images1, ("A", "B"))]
    source = {
        "weights": {"file": args.weights.name, "sha256": digest(args.weights)} if args.weights else "torchvision",
        "threshold": args.threshold,
        "detector_size": args.detector_size,
        "val_share": args.val_share,
        "seed": args.seed,
    }
    made = plan_detector(sides, category_names(args), classes, source)
    try:
        device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        detect, count = load_detector(args.weights, args.threshold, args.detector_size, device)
    except RuntimeError as error:
        raise InputError(f"--device {args.device}: {str(error).splitlines()[0]}; pass cpu or cuda") from None
    if count != len(classes):
        raise InputError(
            f"--weights has {count} classes and there are {len(classes)} names for them; pass --names FILE, "
            "one name a line, beginning with __background__"
        )
    levels = levels_of(args.input_range, ALL_LEVELS)
    return made, partial(detected, detect=detect, batch=args.detector_batch, levels=levels)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0; 2 after one sentence on stderr; 130 when stopped."""
    parser = parser_for(__doc__, size="256", categories_needed=False)
    add = parser.add_argument
    add("--images1", type=Path, required=True, metavar="DIR", help="images of domain A, or of both")
    add("--masks1", type=Path, metavar="PATH", help="their annotations: a folder, for VIA a file (default: images1)")
    add("--images2", type=Path, metavar="DIR", help="images of domain B")
    add("--masks2", type=Path, metavar="PATH", help="their annotations (default: images2)")
    add("--format", choices=FORMATS, help="of the annotations")
    add(
        "--ignore", type=spans, nargs="*", default=[], metavar="VALUE",
        help="label maps: values that are nobody, single ones (255) or ranges (0-999)",
    )  # fmt: skip
    add("--image_suffix", default="", metavar="TEXT", help="what names of images end in, such as _leftImg8bit")
    add("--mask_suffix", default="", metavar="TEXT", help="what their annotations have there, _gtFine_instanceIds, say")
    add("--names", type=Path, metavar="FILE", help="class names for YOLO or --weights: one a line, or YOLO's data.yaml")
    add("--via_attribute", metavar="NAME", help="VIA: the region attribute that holds the category")
    add("--detector", action="store_true", help="find instances with torchvision's Mask R-CNN")
    add("--weights", type=Path, metavar="FILE", help="detector: its state dict (default: torchvision's, downloaded)")
    add("--threshold", type=fraction, default=0.7, help="detector: least score")
    add("--detector_batch", type=whole(1), default=4, metavar="N", help="detector: images at a time")
    add("--detector_size", type=whole(32), default=800, metavar="N", help="detector: shorter side it looks at")
    add("--device", help="detector: cpu, cuda, cuda:1 (default: cuda if there is one)")
    add_split(parser, val_share=0.1)
    return run(argv, parser, plan)


if __name__ == "__main__":
    sys.exit(main())
