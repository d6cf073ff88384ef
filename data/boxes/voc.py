"""Pascal VOC xml -> objects: <object> with <name> and <bndbox> of <xmin>, <ymin>, <xmax>, <ymax>.

VOC counts pixels from 1, and both corners are inside: a box over the first two columns is 1 to 2. Here it is 0 to 2.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from data.boxes.objects import Found, Object, within
from data.placement import Size
from instagan.errors import InputError
from instagan.io.values import number, side

ADVICE = "export the annotations again"


def read_voc(path: Path, size: Size, found: Found) -> list[Object]:
    """Raises ``InputError`` for a file that is no VOC xml, or is of an image of another size."""
    root, line_of = _parse(path)
    told = tuple(side(root.findtext(f"size/{name}"), name) for name in ("width", "height"))
    if all(told) and told != size:
        raise InputError(
            f"{path} is of an image of {told[0]}x{told[1]} pixels but its image is {size[0]}x{size[1]}; "
            "put back the image that was annotated"
        )
    objects = []
    for record in root.findall("object"):
        with found.part(f"{path}, line {line_of[record]}"):
            category = found.category(record.findtext("name", ""))
            box = record.find("bndbox")
            if category is None:
                continue
            if box is None:
                raise ValueError("it has no bndbox")
            left, top, right, bottom = (number(box.findtext(edge)) for edge in ("xmin", "ymin", "xmax", "ymax"))
            objects.append(Object(category, within(left - 1, top - 1, right, bottom, size)))
    return objects


def _parse(path: Path) -> tuple[Element, dict[Element, int]]:
    """The root, and the line in which each element begins. Raises ``InputError``."""
    parser, builder, line_of = expat.ParserCreate(), TreeBuilder(), dict[Element, int]()

    def start(tag: str, attributes: dict[str, str]) -> None:
        line_of[builder.start(tag, attributes)] = parser.CurrentLineNumber

    parser.StartElementHandler, parser.EndElementHandler = start, builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(path.read_bytes(), True)
    except (OSError, ValueError, LookupError, expat.ExpatError) as error:  # tells the line
        raise InputError(f"{path} is no xml file that can be read ({error}); {ADVICE}") from None
    root = builder.close()
    if root.tag != "annotation":
        raise InputError(f"{path} is not a Pascal VOC file: its root is <{root.tag}>, not <annotation>; {ADVICE}")
    return root, line_of
