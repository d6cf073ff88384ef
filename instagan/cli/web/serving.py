"""The page on this machine's network: what may be uploaded, what may be fetched, and nothing else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from instagan.cli.web.limits import Limited
from instagan.errors import InputError

ENVIRONMENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",  # neither what is used nor whether there is a newer version
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
"""For browsers: the page gets nothing from elsewhere and sends nothing there, whatever its parts would like to.
Gradio makes functions of strings, so that has to be allowed."""

STYLE = ".result img { width: 100%; height: 100%; object-fit: contain; image-rendering: pixelated; }"
"""Small pictures fill their place, too, and show their pixels."""

HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class WithHeaders:
    """An ASGI application whose every answer has ``HEADERS``."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


@contextmanager
def prepared(most_pixels: int) -> Iterator[Path]:
    """What has to be so before gradio is imported: environment, and a folder of its own that ends with the page.

    PIL decodes nothing larger than ``most_pixels``, wherever it is asked to. Yields the folder for results.
    """
    before = {name: os.environ.get(name) for name in (*ENVIRONMENT, "GRADIO_TEMP_DIR")}
    limit = Image.MAX_IMAGE_PIXELS
    with tempfile.TemporaryDirectory(prefix="instagan_page_", ignore_cleanup_errors=True) as folder:
        os.environ.update({**ENVIRONMENT, "GRADIO_TEMP_DIR": folder})
        Image.MAX_IMAGE_PIXELS = max(1, most_pixels // 2)  # it refuses twice as many
        results = Path(folder) / "results"
        results.mkdir()
        try:
            yield results
        finally:
            Image.MAX_IMAGE_PIXELS = limit
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def serve(gradio: Any, page: Any, host: str, port: int, most_bytes: int) -> str:
    """Starts serving in threads; returns the address. Raises ``InputError`` if the port is taken."""
    from starlette.middleware import Middleware

    page.queue(max_size=32, api_open=False)
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            inbrowser=False,
            quiet=True,
            prevent_thread_lock=True,
            show_error=False,
            theme=gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
            css=STYLE,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            allowed_paths=[],
            max_file_size=most_bytes,
            app_kwargs={"middleware": [Middleware(WithHeaders), Middleware(Limited, most_bytes=most_bytes)]},
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"the page cannot be served at {host}:{port} ({reason}); pass another --port") from None
    return str(address)
