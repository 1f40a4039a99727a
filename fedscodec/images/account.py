"""List what a picture had and what became of it; all messages about loss and conversion come from this list.

Code that finds something in a file adds it to the list. Code that keeps it removes it again, and code that converts it
replaces its message. At the end everything left is reported, so that nothing is lost silently.
"""

from __future__ import annotations

from collections.abc import Iterable

_NAMES, _SENTENCES, _LETTERS = 12, 100, 500  # told at most: a file can have any number of names, of any length


class Account:
    """A list of what the picture had, each with the message to report unless it is kept.

    account.had("Exif")                                    "Exif was not kept."
    account.had("IPTC", "IPTC was damaged.")               that sentence
    account.became("depth", "12-bit ... to 8 bits.")       another sentence, entered or not
    account.kept("Exif")                                   nothing
    """

    def __init__(self) -> None:
        self._sentences: dict[str, str] = {}

    def had(self, what: str, lost: str = "") -> None:
        """Add something; unless it is kept, `lost` is reported."""
        self._sentences.setdefault(what, lost or f"{what} was not kept.")

    def kept(self, what: str) -> None:
        """Remove something, because all of it was kept."""
        self._sentences.pop(what, None)

    def became(self, what: str, sentence: str) -> None:
        """Replace the message for something that was converted."""
        self._sentences[what] = sentence

    def has(self, what: str) -> bool:
        """Whether something was added and is not kept so far."""
        return what in self._sentences

    @property
    def sentences(self) -> tuple[str, ...]:
        """The messages, in the order of discovery; of a great many the first, and how many more there are; of long ones
        the beginning.
        """
        told = [text if len(text) <= _LETTERS else f"{text[:_LETTERS]}…" for text in self._sentences.values()]
        if len(told) > _SENTENCES:
            told[_SENTENCES:] = [f"{len(told) - _SENTENCES:,} more messages like these were left out."]
        return tuple(told)


def listed(names: Iterable[str]) -> str:
    """Names for a message: "a", "a and b", "a, b and c"; of a great many the first, "and 88 more"."""
    *first, last = names
    if len(first) >= _NAMES:
        first, last = first[:_NAMES], f"{len(first) + 1 - _NAMES:,} more"
    return f"{', '.join(first)} and {last}" if first else last
