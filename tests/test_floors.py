"""Imports only go down (docs/architecture.md): a floor may know the floors below it, and no room its neighbour."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = (
    ("instagan",),
    ("instagan/pictures",),
    ("instagan/translation", "instagan/metrics", "data", "models"),
    ("options", "trackers"),
    ("train", "test", "scripts", "instagan/command"),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
TOP = len(FLOORS) - 1
PACKAGED = [room for room in FLOOR_OF if room.partition("/")[0] == "instagan"]
"""What pip installs: it must do without the rest of the checkout."""
LIBRARIES = {"torch", *sys.stdlib_module_names}
WITH_FILES = {"numpy", "PIL", "safetensors", "torchvision", "pycocotools", "tqdm", "gradio", "starlette", "av", "lpips"}
"""What the rooms of the package that know files may use; all but the first two only where it is asked for."""
OPTIONAL = WITH_FILES - {"numpy", "PIL"}
DOORS = {
    ("instagan/__init__.py", "instagan.translation.translator"),  # instagan.Translator, fetched when it is first used
    ("instagan/__main__.py", "instagan.command.main"),  # python -m instagan
    ("scripts/fuzzing/commands.py", "instagan.command.main"),  # hostile input for all that reads any
    ("scripts/fuzzing/commands.py", "instagan.command.web.drawing"),
    ("instagan/pictures/optional.py", "?"),  # imports what it is asked for
}
"""Imports that may go up."""


def room_of(path: str) -> str | None:
    """The room, or the room within a room, that a path like instagan/pictures/reading belongs to."""
    rooms = [room for room in FLOOR_OF if path == room or path.startswith(f"{room}/")]
    return max(rooms, key=len, default=None)


def files_of(room: str) -> list[Path]:
    found = sorted((ROOT / room).rglob("*.py")) if (ROOT / room).is_dir() else [ROOT / f"{room}.py"]
    return [path for path in found if room_of(path.relative_to(ROOT).with_suffix("").as_posix()) == room]


FILES = [(room, path) for room in FLOOR_OF for path in files_of(room)]


def imports(source: str) -> list[tuple[int, str]]:
    """Line and full name of everything that is imported, also inside functions."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            found.append((node.lineno, node.module))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            found.append((node.lineno, node.args[0].value if isinstance(node.args[0], ast.Constant) else "?"))
    return found


def forbidden(room: str, source: str, file: str = "") -> list[str]:
    wrong = []
    for line, name in imports(source):
        target, package = room_of(name.replace(".", "/")), name.partition(".")[0]
        if (file, name) in DOORS:
            continue
        if room in PACKAGED and package not in LIBRARIES | {"instagan"} | (set() if room == "instagan" else WITH_FILES):
            wrong.append(f"line {line}: {name}, but instagan knows torch and itself alone, with files numpy and PIL")
        if target and target not in (room, "test") and FLOOR_OF[target] >= FLOOR_OF[room]:
            wrong.append(f"line {line}: {name} is on floor {FLOOR_OF[target]}, {room} on floor {FLOOR_OF[room]}")
    return wrong


def at_once(source: str) -> set[str]:
    """Packages that are imported with the file, not only by a function that needs them."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {name.partition(".")[0] for _, name in imports(ast.unparse(node))}
    return found


def speaks(source: str) -> list[str]:
    """Where a file prints or reads the command line by itself."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call | ast.Attribute)]
    printing = [node for node in calls if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"]
    reading = [node for node in calls if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.argv"]
    return [f"line {node.lineno}: {ast.unparse(node)}" for node in (*printing, *reading)]


@pytest.mark.parametrize("room, path", FILES, ids=[str(path.relative_to(ROOT)) for _, path in FILES])
def test_imports_only_go_down(room, path):
    assert forbidden(room, path.read_text(), path.relative_to(ROOT).as_posix()) == []


@pytest.mark.parametrize("path", [path for room, path in FILES if room in PACKAGED], ids=lambda path: path.stem)
def test_the_package_starts_without_optional_packages(path):
    assert not at_once(path.read_text()) & OPTIONAL


@pytest.mark.parametrize("room, path", FILES, ids=[str(path.relative_to(ROOT)) for _, path in FILES])
def test_only_the_top_floor_prints_and_reads_the_command_line(room, path):
    if FLOOR_OF[room] < TOP:
        assert speaks(path.read_text()) == []


def test_every_room_has_a_floor():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= set(FLOOR_OF) | {"tests"}
    assert all(files_of(room) for room in FLOOR_OF if room != "scripts")


@pytest.mark.parametrize(
    "room, line",
    [
        ("instagan", "import data.folders"),
        ("instagan", "import numpy"),
        ("instagan", "from instagan.pictures.reading import read_picture"),
        ("instagan", "def f():\n    from instagan.translation.translator import Translator"),
        ("instagan/pictures", "from instagan.translation.inputs import prepare"),
        ("instagan/translation", "from data.reading import read_picture"),
        ("instagan/translation", "import yaml"),
        ("instagan/metrics", "import skimage"),
        ("instagan/metrics", "from models.base_model import TranslationModel"),
        ("instagan/command", "from options.run_folder import RunFolder"),
        ("models", "from instagan.translation.translator import Translator"),
        ("data", "from models.schedule import due"),
        ("models", "def f():\n    from options.parse import parse_training"),
        ("options", "import trackers"),
        ("trackers", "from options.flags import SIZES"),
        ("models", "if True:\n    import train"),
        ("data", "import importlib\nimportlib.import_module('scripts.make_shapes')"),
    ],
)
def test_the_rule_notices(room, line):
    assert forbidden(room, line)


def test_the_rule_allows_what_goes_down():
    assert not forbidden("options", "from data.folders import Entry\nimport models\nimport yaml\nimport options.flags")
    assert speaks("def f():\n    print('x')") and speaks("import sys\nsys.argv[1]")
