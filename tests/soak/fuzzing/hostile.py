"""What hostile input is made of: names, values, damaged bytes, damaged json."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

NAMES = (
    "<script>document.title='pwned'</script>",
    '"><img src=x onerror=document.title=1>',
    "' onload='alert(1)",
    "javascript:alert(1)",
    "a\nb",
    "a\r\nSet-Cookie: x",
    "\x1b[2J\x1b]0;pwned\x07",
    "..",
    "../../outside",
    "..\\..\\outside",
    "/etc/passwd",
    "C:\\boot.ini",
    "~root",
    "$(touch pwned)",
    "`touch pwned`; touch pwned",
    "| touch pwned",
    "-rf",
    "--output",
    "%2e%2e%2foutside",
    "\u202egnp.exe",
    "\u2028\u2029",
    "\ud800",
    "\udcff\udcfe",
    "a\0b",
    "",
    " ",
    ".",
    ".hidden",
    "CON",
    "name_0",
    "_real_A",
    "{0.__class__}",
    "%s%n",
    "InputError: ",
    "\U0001f411" * 70,
    "x" * 300,
    "\u0130\u0131\ufb01\u1e9e",
)
"""File names and other words that mean something to a shell, a page, a path or a terminal."""

NUMBERS = (0, -1, 1, 2, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, -0.0, 1e-320, 1e308, float("inf"), float("nan"))

words = st.sampled_from(NAMES) | st.text(max_size=8)
leaves = st.sampled_from((None, True, False, *NUMBERS)) | words | st.integers() | st.floats()
values: st.SearchStrategy[Any] = leaves | st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=4,
)
"""Anything that json can hold, and what Python's json takes beyond."""

on_disk = words.filter(lambda name: name not in ("", ".", "..") and "/" not in name and "\0" not in name).filter(
    lambda name: _on_disk(name)
)
"""Words that a file can be called, with a short ending."""


def _on_disk(name: str) -> bool:
    try:
        return len(name.encode("utf-8", "surrogateescape")) <= 240
    except UnicodeEncodeError:
        return False


@st.composite
def damaged(draw: st.DrawFn, corpus: Sequence[bytes]) -> bytes:
    """A whole file with up to four kinds of damage."""
    content = bytearray(draw(st.sampled_from(corpus)))
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.integers(0, 7))
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        if kind == 0 and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == 1 and content:
            content[at] = draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF, 0x22, 0x2E, 0x5B, 0x7B)))
        elif kind == 2:
            del content[at:]
        elif kind == 3:
            del content[at : at + draw(st.integers(1, 40))]
        elif kind == 4:
            content[at:at] = draw(st.binary(max_size=8))
        elif kind == 5:
            content[at : at + 4] = draw(st.sampled_from((0, 1, 2**31 - 1, 2**32 - 1, 20_000))).to_bytes(4, "big")
        elif kind == 6:
            size = draw(st.integers(1, 40))
            content[at:at] = content[at : at + size] * draw(st.integers(1, 20))
        else:
            other = draw(st.sampled_from(corpus))
            content[at:] = other[min(at, len(other)) :]
    return bytes(content)


@st.composite
def altered(draw: st.DrawFn, corpus: Sequence[Any]) -> Any:
    """A json value with up to three places replaced, removed, doubled or nested deeply."""
    content = copy.deepcopy(draw(st.sampled_from(corpus)))
    for _ in range(draw(st.integers(1, 3))):
        places = _places(content)
        if not places:
            return draw(values)
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        kind = draw(st.integers(0, 9))
        if kind == 0:
            del holder[key]
        elif kind == 1:
            holder[key] = [holder[key]] * draw(st.integers(0, 3))
        elif kind == 2 and isinstance(holder, dict):
            holder[draw(words)] = holder.pop(key)
        else:
            holder[key] = draw(values)
    return content


def json_bytes(corpus: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """The bytes of an altered json file; now and then of one that is no json."""
    whole = tuple(encoded(content) for content in corpus)
    return altered(corpus).map(encoded) | altered(corpus).map(encoded) | damaged((*whole, *NO_JSON))


def encoded(content: Any) -> bytes:
    return json.dumps(content).encode()


NO_JSON = (
    b"", b"null", b"[]", b"{}", b"[" * 100_000, b'{"a":' * 20_000, b"\xff\xfe[\x00]\x00", b"\xef\xbb\xbf{}",
    b"9" * 5000, b'"\\ud800"', b"NaN", b"{\"images\": 1e999}",
)  # fmt: skip


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Every (list or dictionary, index or key) in a value."""
    found: list[tuple[Any, Any]] = []
    if isinstance(content, (dict, list)):
        for key, value in list(content.items() if isinstance(content, dict) else enumerate(content)):
            found.append((content, key))
            found += _places(value)
    return found


def lines(corpus: Sequence[str], words_of: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Text files of lines, some of them words from elsewhere."""
    line = st.sampled_from(corpus) | words_of
    return st.lists(line, max_size=6).map(lambda some: "\n".join(some).encode("utf-8", "surrogatepass"))


Builder = Callable[[], bytes]
