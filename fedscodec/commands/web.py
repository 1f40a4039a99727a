"""`feds web`: write a page that decodes .feds files in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .failures import one_sentence
from .options import Debug, Force, Quiet, examples
from .streams import say

EXAMPLES = examples(
    "feds web -o viewer",
    "feds web -o viewer --model student --force",
)


def web(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Output folder.")],
    model: Annotated[
        list[str] | None,
        typer.Option("-m", "--model", metavar="NAME", help="Network to include; repeatable. [default: student]"),
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a page that decodes .feds files in the browser.

    Any web server can serve the folder: it needs no special HTTP headers and loads nothing from other servers.
    """
    with one_sentence(debug):
        from ..web.export import write_page

        written = write_page(output, model or ["student"], force=force)
        say(f"{output}: {len(written)} files, {sum(written.values()):,} bytes; serve it and open index.html", quiet)
