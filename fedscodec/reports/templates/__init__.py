"""The HTML pages of a benchmark, with style and scripts inside, filled in by jinja2, which escapes values."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from ...errors import FedsError


def text(name: str) -> str:
    """A file of this folder."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def fill(name: str, scripts: tuple[str, ...], **values: Any) -> str:
    """Fill in a page of this folder: values are escaped unless they are `Html`; every page also has page.js.

    All pages extend page.html, which takes title, subtitle and sections (pairs of anchor and word).

    Raises FedsError if jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FunctionLoader
    except ImportError as error:
        raise FedsError("reports need jinja2: pip install 'fedscodec[bench]'") from error
    environment = Environment(loader=FunctionLoader(text), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    table = environment.get_template("table.html")
    script = "\n".join(text(script) for script in ("page.js", *scripts))
    page: str = environment.get_template(name).render(
        style=Html(text("page.css") + text("plot.css")),
        script=Html(script),
        rows_of=lambda of: Html(table.render(table=of)),
        **values,
    )
    return page


class Html(str):
    """Text that is HTML already."""

    def __html__(self) -> str:
        """The method that jinja2 calls before it escapes."""
        return self
