"""Imports only go down (docs/architecture.md): a table says which room may know which."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "instagan": {"instagan/structures", "instagan/networks", "instagan/losses"},  # what it offers by name
    "instagan/structures": set(),
    "instagan/kernels": {"instagan/structures", "instagan/networks"},
    "instagan/networks": {"instagan/structures"},
    "instagan/losses": {"instagan/structures"},
    "instagan/io": {"instagan/structures", "instagan/networks"},  # a layer stands in for a missing operator
    "instagan/metrics": {"instagan/structures", "instagan/io"},
    "instagan/inference": {f"instagan/{room}" for room in ("structures", "kernels", "networks", "io", "metrics")},
    "instagan/cli": {
        f"instagan/{room}" for room in ("structures", "kernels", "networks", "io", "metrics", "inference")
    },
    "engine": {"instagan/structures", "instagan/kernels", "instagan/io"},  # methods and loaders are handed in
    "data": {"instagan/structures", "instagan/io", "pages"},
    "models": {"instagan/structures", "instagan/networks", "instagan/losses", "instagan/io", "engine"},
    "options": {
        *(f"instagan/{room}" for room in ("structures", "kernels", "networks", "io", "metrics", "inference")),
        "models",
        "data",
        "engine",
    },
    "pages": {"instagan/io"},
    "trackers": {"instagan/structures", "instagan/io", "engine", "pages"},
    "evaluation": {
        *(f"instagan/{room}" for room in ("structures", "kernels", "networks", "io", "metrics", "inference")),
        *("engine", "data", "models", "options", "pages"),
    },
}
"""Room -> the rooms that it may import, beside itself, ``instagan``'s own files and libraries."""
PROGRAMS = ("train", "test", "scripts", "benchmarks")
"""They may import everything; nothing imports them, but for the tests."""
ROOMS = (*MAY_IMPORT, *PROGRAMS)
PACKAGED = [room for room in MAY_IMPORT if room.partition("/")[0] == "instagan"]
"""What pip installs: it must do without the rest of the checkout."""
TORCH_ONLY = ("instagan", "instagan/structures", "instagan/kernels", "instagan/networks", "instagan/losses")
LIBRARIES = {"torch", *sys.stdlib_module_names}
WITH_FILES = {"numpy", "PIL", "safetensors", "torchvision", "pycocotools", "tqdm", "gradio", "starlette", "av", "lpips"}
WITH_FILES |= {"scipy", "yaml", "onnx", "onnxscript", "onnxruntime"}
"""What the rooms of the package that know files may use; all but the first two only where it is asked for."""
OPTIONAL = WITH_FILES - {"numpy", "PIL"}
DOORS = {
    ("instagan/__init__.py", "instagan.inference.translator"),  # instagan.Translator, fetched when it is first used
    ("instagan/__main__.py", "instagan.cli.main"),  # python -m instagan
    ("instagan/inference/own_method.py", "options.own_method"),  # the methods of a checkout, where there is one
    ("instagan/io/optional.py", "?"),  # imports what it is asked for
}
"""Imports that may go up."""


def room_of(path: str) -> str | None:
    """The room, or the room within a room, that a path like instagan/io/reading belongs to."""
    rooms = [room for room in ROOMS if path == room or path.startswith(f"{room}/")]
    return max(rooms, key=len, default=None)


def files_of(room: str) -> list[Path]:
    found = sorted((ROOT / room).rglob("*.py")) if (ROOT / room).is_dir() else [ROOT / f"{room}.py"]
    return [path for path in found if room_of(path.relative_to(ROOT).with_suffix("").as_posix()) == room]


FILES = [(room, path) for room in ROOMS for path in files_of(room)]


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
        known = LIBRARIES | {"instagan"} | (set() if room in TORCH_ONLY else WITH_FILES)
        if room in PACKAGED and package not in known:
            wrong.append(f"line {line}: {name}, but {room} is packaged without it")
        if target and target not in (room, "instagan", "test"):
            if target in PROGRAMS and room not in PROGRAMS:
                wrong.append(f"line {line}: {name} is a program, and {room} is imported by programs")
            elif room in MAY_IMPORT and target not in MAY_IMPORT[room]:
                wrong.append(f"line {line}: {room} may not import {target} ({name})")
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
    if room not in (*PROGRAMS, "instagan/cli"):
        assert speaks(path.read_text()) == []


def test_every_room_has_a_floor():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages <= set(ROOMS) | {"tests"}
    assert all(files_of(room) for room in ROOMS)


@pytest.mark.parametrize(
    "room, line",
    [
        ("instagan", "import data.folders"),
        ("instagan/structures", "import numpy"),
        ("instagan/networks", "from instagan.io.reading import read_picture"),
        ("instagan/networks", "from instagan.kernels.stack import Stack"),
        ("instagan/kernels", "def f():\n    from instagan.inference.translator import Translator"),
        ("instagan/io", "from instagan.inference.inputs import prepare"),
        ("instagan/inference", "from data.entries import Entry"),
        ("instagan/inference", "import pandas"),
        ("instagan/metrics", "import skimage"),
        ("instagan/metrics", "from models.translation_model import TranslationModel"),
        ("instagan/cli", "from engine.run_folder import RunFolder"),
        ("models", "from instagan.inference.translator import Translator"),
        ("data", "from engine.schedule import due"),
        ("models", "def f():\n    from options.parse import parse_training"),
        ("engine", "from models import MODELS"),
        ("engine", "from data.loading import TrainingLoader"),
        ("options", "import trackers"),
        ("trackers", "from options.flags import SIZES"),
        ("models", "if True:\n    import train"),
        ("data", "import importlib\nimportlib.import_module('scripts.make_shapes')"),
    ],
)
def test_the_rule_notices(room, line):
    assert forbidden(room, line)


def test_no_door_is_left_that_nobody_uses():
    told = {(path.relative_to(ROOT).as_posix(), name) for _, path in FILES for _, name in imports(path.read_text())}
    assert told >= DOORS


def test_the_rule_allows_what_goes_down():
    assert not forbidden("options", "from data.folders import Entry\nimport models\nimport yaml\nimport options.flags")
    assert speaks("def f():\n    print('x')") and speaks("import sys\nsys.argv[1]")
