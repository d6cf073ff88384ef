#!/usr/bin/env python
"""Starts a Visdom server for this machine, with or without internet.

    python scripts/visdom_server.py [--port 8097] [--hostname 127.0.0.1] [--env_path ~/.visdom]

Visdom's own command first downloads what its page is built with, and ends where there is no internet. This one starts
at once: what is missing is taken from the Python package plotly (the plots) and from small stand-ins that lie beside
this file (the rest of the page). What Visdom has downloaded earlier is used as it is.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import importlib.util
import logging
import sys
from pathlib import Path
from typing import Any

STAND_INS = Path(__file__).resolve().parent / "visdom_stand_ins"

SUPPLIED = {
    "js/jquery.min.js": "page.js",
    "js/layout_bin_packer.js": "packer.js",
    "css/bootstrap.min.css": "page.css",
    "css/react-grid-layout-styles.css": "grid.css",
    "css/react-resizable-styles.css": "nothing.css",
    "js/bootstrap.min.js": "nothing.js",
    "js/react-react.min.js": "nothing.js",
    "js/react-dom.min.js": "nothing.js",
    "js/mathjax/2.7.5/MathJax.js": "nothing.js",
    "js/mathjax/2.7.5/config/TeX-AMS-MML_HTMLorMML.js": "nothing.js",
    "js/d3.v3.min.js": "nothing.js",
    "js/d3-selection-multi.v1.js": "nothing.js",
    "js/saveSvgAsPng.js": "nothing.js",
    "favicon.png": "nothing.css",
}
"""File of Visdom's page -> stand-in. React comes with Visdom's main.js; formulas and graphs are not drawn here."""

MOST_BYTES = 64 * 2**20
"""Of one request; the windows of a run take a hundredth of that."""

PLOTLY = "js/plotly-plotly.min.js"


def supply(wanted: str, own: Path) -> Path:
    """The file to send for ``wanted``: Visdom's own if it was downloaded, else plotly's or a stand-in."""
    if own.is_file():
        return own
    if wanted == PLOTLY:
        package = importlib.util.find_spec("plotly")
        bundled = Path(package.origin).parent / "package_data" / "plotly.min.js" if package and package.origin else None
        return bundled if bundled is not None and bundled.is_file() else STAND_INS / "no_plotly.js"
    return STAND_INS / SUPPLIED[wanted] if wanted in SUPPLIED else own


def application(port: int, env_path: Path) -> Any:
    """Visdom's web application, with files that are missing supplied."""
    from tornado.web import StaticFileHandler
    from visdom.server import app

    class Supplied(StaticFileHandler):
        """Static files from Visdom's folder, or what stands in for them."""

        @classmethod
        def get_absolute_path(cls, root: str, path: str) -> str:
            return str(supply(path, Path(super().get_absolute_path(root, path))))

        @classmethod
        def get_version(cls, settings: dict[str, Any], path: str) -> None:
            """No version in an address: Visdom's page asks for one of a file outside, which newer tornados refuse."""

        def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
            given = Path(absolute_path)
            outside = {STAND_INS / name for name in (*SUPPLIED.values(), "no_plotly.js")} | {supply(PLOTLY, Path())}
            return super().validate_absolute_path(str(given.parent) if given in outside else root, absolute_path)

    app.tornado_settings.update(static_handler_class=Supplied, autoreload=False)
    return app.Application(port=port, env_path=f"{env_path}/")


async def serve(port: int, hostname: str, env_path: Path) -> None:
    """Listens until the process is stopped."""
    application(port, env_path).listen(port, address=hostname, max_buffer_size=MOST_BYTES, idle_connection_timeout=60)
    plots = "plots are drawn" if supply(PLOTLY, _own(PLOTLY)).name != "no_plotly.js" else "no plots: pip install plotly"
    print(f"Visdom: http://{hostname}:{port} ({plots}; Ctrl-C ends it)", flush=True)
    await asyncio.Event().wait()


def _own(file: str) -> Path:
    from visdom.utils.shared_utils import get_visdom_path

    return Path(get_visdom_path("static")) / file


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="start a Visdom server that needs no internet")
    parser.add_argument("--port", type=int, default=8097, help="port to listen on [8097]")
    own_only = "address to listen on [127.0.0.1: this machine only, for whoever reaches the server may change it]"
    parser.add_argument("--hostname", default="127.0.0.1", help=own_only)
    parser.add_argument("--env_path", type=Path, default=Path.home() / ".visdom", help="where windows are saved")
    flags = parser.parse_args(argv)
    if importlib.util.find_spec("visdom") is None:
        print("error: the package visdom is not installed; see requirements-visdom.txt", file=sys.stderr)
        return 2
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    env_path = flags.env_path.expanduser()
    try:
        env_path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"error: --env_path {str(env_path)[:80]}: {error.strerror}; choose another folder", file=sys.stderr)
        return 2
    try:
        asyncio.run(serve(flags.port, flags.hostname, env_path))
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        taken = "; another --port?" if error.errno == errno.EADDRINUSE else ""
        print(f"error: cannot serve {flags.hostname}:{flags.port} ({error.strerror}){taken}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
