"""A web page to translate pictures with: upload, draw or upload masks, translate, download.

    python -m instagan app --model M
    python -m instagan app --model M --detector --category sheep

It is served to this machine alone unless --host says otherwise, needs no internet, and tells nobody anything.
"""

from __future__ import annotations

import signal
import sys
import threading
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from instagan.cli.finding import add_detector_flags, detector_for
from instagan.cli.web.handling import Desk
from instagan.cli.web.layout import lay_out
from instagan.cli.web.serving import prepared, serve
from instagan.errors import InputError
from instagan.flag_types import whole
from instagan.inference.translator import Translator
from instagan.io.categories import split_names
from instagan.io.optional import need
from instagan.kernels.processor import PRECISIONS, read_cpuinfo, slow_bf16

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MEGABYTES, MEGAPIXELS = 20, 4


def add_options(parser: ArgumentParser) -> None:
    add = parser.add_argument_group("model").add_argument
    add("--model", required=True, type=Path, help="run folder, checkpoint, exported model or published weights")
    add("--epoch", default="latest", help="checkpoint of a run folder: an epoch's number, or latest")
    add("--device", help="cpu, cuda, cuda:1, mps (default: a GPU if there is one)")
    add("--precision", choices=tuple(PRECISIONS), default="fp32", help="precision of the networks")
    add = parser.add_argument_group("detector").add_argument
    add("--detector", action="store_true", help="offer to find the instances with torchvision's Mask R-CNN")
    add("--category", type=split_names, metavar="NAME[,NAME]", help="categories to detect")
    add_detector_flags(add)
    add = parser.add_argument_group("page").add_argument
    add("--host", default=LOOPBACK[0], help="address to serve at; 0.0.0.0 shows the page to the whole network")
    add("--port", type=whole(1), default=7860, help="port to serve at")
    add("--max_upload", type=whole(1), default=MEGABYTES, metavar="N", help="largest file in megabytes")
    add("--max_megapixels", type=whole(1), default=MEGAPIXELS, metavar="N", help="largest image in megapixels")
    add("--title", default="InstaGAN", help="heading of the page")


def run(options: Namespace) -> int:
    """Serves until Ctrl-C or SIGTERM."""
    _check(options)
    with prepared(options.max_megapixels * 1_000_000) as results:
        gradio: Any = need("gradio", "gradio", "the web page")
        translators = _translators(options)
        if options.detector and not any(one.network.gives_masks for one in translators.values()):
            raise InputError(f"--detector finds masks, and {options.model} translates images without any; drop it")
        find = detector_for(options) if options.detector else None
        desk = Desk(translators, find, options.max_megapixels * 1_000_000, results)
        page = lay_out(gradio, desk, options.title)
        address = serve(gradio, page, options.host, options.port, options.max_upload * 2**20)
        print(f"The page is at {address} (Ctrl-C ends it).", flush=True)
        if options.host not in LOOPBACK:
            print(f"Anybody who reaches {options.host} can use it; there is no password.", file=sys.stderr)
        _wait()
        page.close(verbose=False)
    return 0


def _check(options: Namespace) -> None:
    for flag in ("category", "weights", "names"):
        if getattr(options, flag) and not options.detector:
            raise InputError(f"--{flag} belongs to --detector; add that or drop it")
    if options.detector and not options.category:
        raise InputError("--category is missing: name what --detector shall find, such as --category sheep")
    if options.port > 65535:
        raise InputError(f"--port {options.port} is too high; pass 1 to 65535")


def _translators(options: Namespace) -> dict[str, Translator]:
    """Of every direction that the model has. Raises ``InputError`` if it has none."""
    found: dict[str, Translator] = {}
    reasons = []
    for to in ("b", "a"):
        try:
            found[to] = Translator.load(options.model, to, options.device, options.precision, options.epoch)
        except InputError as error:
            reasons.append(error)
    if not found:
        raise reasons[0]
    for translator in found.values():
        translator.check_rgb("the app")
    if slow := slow_bf16(options.precision, next(iter(found.values())).network.device.type, read_cpuinfo()):
        print(f"instagan: warning: {slow}", file=sys.stderr)
    return found


def _wait() -> None:
    """Until somebody wants the program to end."""
    stop = threading.Event()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        while not stop.wait(0.5):
            pass
    except KeyboardInterrupt:
        pass
