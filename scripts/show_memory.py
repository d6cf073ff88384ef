"""Shows what a model with a memory (--model mguit) reads where: the item that counts most at every position.

    python scripts/show_memory.py --model checkpoints/NAME --input DIR_OR_FILE --output memory.png

Four columns: the image; the image under the colours of the items; the class of those items; the translation. A colour
is the same item in all rows, and the legend tells its class and at how many of all positions it counts most. Items of
all classes are read, as where an image has no annotation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch  # noqa: E402
from PIL import Image, ImageDraw, ImageFont  # noqa: E402

from instagan import Translator  # noqa: E402
from instagan.errors import InputError, sentence  # noqa: E402
from instagan.inference.inputs import batch_of, prepare  # noqa: E402
from instagan.io.contact_sheet import INK, PAPER, contact_sheet  # noqa: E402
from instagan.io.overlay import colour, overlay  # noqa: E402
from instagan.io.reading import list_pictures, read_picture  # noqa: E402
from instagan.networks.mguit import MemoryGenerator, unit_content  # noqa: E402

MOST_IMAGES = 8
TINT = 0.6
"""Share of an item's colour in the image."""
HEADINGS = ("image", "item that counts most", "its class", "translation")


@torch.inference_mode()
def row_of(translator: Translator, generator: MemoryGenerator, file: Path) -> tuple[list[Image.Image], torch.Tensor]:
    """The four images of an input, and at how many positions each item (I,) counts most."""
    source = prepare(read_picture(file))
    x, cut = batch_of(source).image, source.widening.cut
    content = unit_content(generator.stem, generator.shared, x.to(translator.network.device))
    best = generator.read_weights(content)[0].argmax(0).cpu()  # (h, w)
    items = torch.arange(len(generator.memory.classes))
    of_items = cut(enlarged(best == items[:, None, None]))  # (I, H, W)
    classes = generator.memory.classes.cpu()
    of_classes = torch.stack([of_items[classes == number].any(0) for number in classes.unique()])  # (K, H, W)
    shown = [
        overlay(source.image, mask.float() - 0.5, mask.flatten(1).any(1), TINT) for mask in (of_items, of_classes)
    ]
    made = translator(file).picture
    return [read_picture_image(file), *shown, made], torch.bincount(best.flatten(), minlength=len(items))


def read_picture_image(file: Path) -> Image.Image:
    return Image.fromarray(prepare(read_picture(file)).levels)


def enlarged(of_positions: torch.Tensor) -> torch.Tensor:
    """(..., h, w) -> (..., 4 h, 4 w)."""
    return of_positions.repeat_interleave(4, -2).repeat_interleave(4, -1)


def with_legend(sheet: Image.Image, classes: Sequence[int], shares: torch.Tensor) -> Image.Image:
    """The sheet, and under it a swatch for each item and each class."""
    font, line = ImageFont.load_default(16), 24
    numbers = [place - list(classes).index(number) for place, number in enumerate(classes)]
    items = [
        f"{named(number)}, item {within}: {share:.1%}"
        for number, within, share in zip(classes, numbers, shares.tolist(), strict=True)
    ]
    columns = max(1, sheet.width // 260)
    lines = -(-len(items) // columns)
    whole = Image.new("RGB", (sheet.width, sheet.height + (lines + 2) * line), PAPER)
    whole.paste(sheet)
    pen = ImageDraw.Draw(whole)

    def swatch(column: int, row: int, slot: int, text: str) -> None:
        left, top = 10 + column * 260, sheet.height + row * line
        pen.rectangle((left, top, left + 16, top + 16), colour(slot))
        pen.text((left + 24, top - 2), text, INK, font)

    for slot, text in enumerate(items):
        swatch(slot % columns, slot // columns, slot, text)
    for slot, number in enumerate(sorted(set(classes))):
        swatch(slot, lines, slot, f"class: {named(number)}")
    return whole


def named(number: int) -> str:
    return "background" if number == 0 else f"category {number - 1}"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 after one sentence on stderr when input is missing or of another method."""
    parser = argparse.ArgumentParser(description="Show which item of its memory a model reads at every position.")
    add = parser.add_argument
    add("--model", type=Path, required=True, help="run folder, checkpoint or exported model")
    add("--input", type=Path, required=True, help=f"an image, or a folder, of which the first {MOST_IMAGES} are taken")
    add("--output", type=Path, required=True, help="image file to write")
    add("--to", choices=("a", "b"), help="domain to translate to (default: b)")
    add("--device", help="cpu, cuda, cuda:1 or mps (default: the fastest)")
    args = parser.parse_args(argv)
    try:
        translator = Translator.load(args.model, args.to, args.device)
        generator = translator.network.generator
        if not isinstance(generator, MemoryGenerator):
            raise InputError(f"--model {args.model} has no memory; pass a model of --model mguit")
        files = [args.input] if args.input.is_file() else list_pictures(args.input)[:MOST_IMAGES]
        if not files:
            raise InputError(f"--input {args.input} holds no image")
        rows, counts = zip(*(row_of(translator, generator, file) for file in files), strict=True)
        total = torch.stack(counts).sum(0)
        sheet = contact_sheet(rows, HEADINGS, [file.name for file in files])
        with_legend(sheet, generator.memory.classes.tolist(), total / total.sum()).save(args.output)
    except (InputError, OSError, ValueError) as error:
        print(f"show_memory.py: {sentence(error)}", file=sys.stderr)
        return 2
    used = f"{int((total > 0).sum())} of {len(total)} items count most somewhere"
    print(f"{len(files)} images; {used}; look at {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
