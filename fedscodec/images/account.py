"""What a picture had, and what became of it: every sentence on something that was lost or converted comes from here.

Whoever finds something in a file enters it. Whoever keeps it strikes it out, whoever makes something else of it says
what. At the end all that was not struck out is told, so that nothing can vanish without a word.
"""

from __future__ import annotations


class Account:
    """A list of what there was, and for each the sentence that is told unless it is kept.

    account.had("Exif")                                    "Exif was not kept."
    account.had("IPTC", "IPTC was damaged.")               that sentence
    account.became("depth", "12-bit ... to 8 bits.")       another sentence, entered or not
    account.kept("Exif")                                   nothing
    """

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def had(self, what: str, lost: str = "") -> None:
        """Enter something; unless it is struck out, `lost` is told of it."""
        self._told.setdefault(what, lost or f"{what} was not kept.")

    def kept(self, what: str) -> None:
        """Strike something out, as it is all there in what was read."""
        self._told.pop(what, None)

    def became(self, what: str, sentence: str) -> None:
        """Tell of something what became of it."""
        self._told[what] = sentence

    def has(self, what: str) -> bool:
        """Whether something was entered and is not kept so far."""
        return what in self._told

    @property
    def sentences(self) -> tuple[str, ...]:
        """What there is to tell, in the order in which it was found."""
        return tuple(self._told.values())
