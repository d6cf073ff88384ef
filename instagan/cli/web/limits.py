"""What the page takes at most: requests that are too long are refused before they are held in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MOST_WORDS = 16 * 2**20
"""Bytes of a request that uploads no file; the longest drawing has half of that."""

FILES_AT_ONCE = 8
"""A request may upload so many files of the largest size, or more that are smaller."""


class _TooLongError(Exception):
    pass


class Limited:
    """An ASGI application that answers 413 to requests which are longer than ``most_bytes`` of a file allow."""

    def __init__(self, app: Callable[..., Awaitable[None]], most_bytes: int) -> None:
        self.app = app
        self.most_bytes = most_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        uploads = str(scope["path"]).rstrip("/").endswith("/upload")
        most = FILES_AT_ONCE * self.most_bytes + 2**20 if uploads else MOST_WORDS
        taken, begun = 0, False

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise _TooLongError
            return message

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        if _declared(scope) > most:
            await _refuse(send, most)
            return
        try:
            await self.app(scope, counted, noted)
        except _TooLongError:
            if not begun:
                await _refuse(send, most)


def _declared(scope: Message) -> int:
    """The length that a request tells of itself; 0 where it tells none."""
    told = dict(scope["headers"]).get(b"content-length", b"0")
    return int(told) if told.isdigit() and len(told) < 20 else 0


async def _refuse(send: Send, most: int) -> None:
    words = f"A request may have at most {most} bytes.".encode()
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": words})
