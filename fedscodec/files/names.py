"""File names as messages show them: a name may hold any byte, but a message is one line of text."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

STANDARD = Path("-")
"""The path that means standard input or standard output."""

_TURNS = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # which change where text runs to
_WORDS = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def told_apart(name: str) -> str:
    """A name as the usual file systems of this machine tell names apart: Windows and macOS ignore case, and macOS how
    accents are written.
    """
    if sys.platform in ("win32", "darwin"):
        return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return name


def printable(text: str) -> str:
    r"""A text on one line without control codes: control characters as \x1b or \n, bytes that are not UTF-8 as \xff."""
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


def _shown(letter: str) -> str:
    if letter in _WORDS:
        return _WORDS[letter]
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if letter in _TURNS or unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp"):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return letter


def shown(path: Path | str) -> str:
    """A path as messages show it."""
    return printable(str(path))


def name_of(path: Path, stream: str = "input") -> str:
    """What messages call a path: the path itself, or the name of the standard stream."""
    return f"standard {stream}" if path == STANDARD else shown(path)
