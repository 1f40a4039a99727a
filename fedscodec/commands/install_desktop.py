"""`feds install-desktop`: make file managers recognise, show and open .feds files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .failures import one_sentence
from .options import Debug, Quiet, examples
from .streams import say

EXAMPLES = examples(
    "feds install-desktop",
    "feds install-desktop --remove",
    "feds install-desktop --data-dir share",
)


def install_desktop(
    remove: Annotated[bool, typer.Option("--remove", help="Remove what was installed.")] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Data folder; /usr/local/share, as root, is for all users. [default: $XDG_DATA_HOME]"
        ),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Make file managers recognise .feds files.

    For freedesktop systems: GNOME, KDE, Xfce. Installs the media type image/x-feds, a thumbnailer, and a desktop entry
    that opens such files in the usual viewer.
    """
    with one_sentence(debug):
        from ..desktop import install as desktop

        folder = data_dir or desktop.data_folder()
        if remove:
            for path in desktop.remove(folder):
                say(f"{path}: removed", quiet)
            return
        written, notes = desktop.install(folder)
        for path in written:
            say(f"{path}: written", quiet)
        for note in notes:
            say(f"feds: {note}", quiet)
