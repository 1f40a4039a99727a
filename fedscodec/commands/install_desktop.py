"""`feds install-desktop`: file managers know .feds files, show thumbnails of them and open them."""

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
    remove: Annotated[bool, typer.Option("--remove", help="Take it all away again.")] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="By default $XDG_DATA_HOME; for all users, as root: /usr/local/share."),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Let file managers know .feds files (freedesktop systems, such as GNOME, KDE, Xfce).

    Writes the media type image/x-feds, a thumbnailer, and an entry that opens such files in the usual viewer.
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
