"""A page that compares versions of pictures: slider, flicker, difference map, zoom, figures.

    page("photo.png", [Scene("photo.png", 768, 512, (Shot("original", embed(png), {}), Shot("q3", embed(webp), {}))])

Standard library only, and no dependency in the browser either: one HTML file that works from a disk. `fragment` is the
viewer without a page around it, for a page that has more to say; it may stand on a page once.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

_HERE = Path(__file__).parent
_KINDS = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "image/webp",
    b"GIF8": "image/gif",
}


@dataclass(frozen=True)
class Shot:
    """One version of a picture.

    `source` is a URL, beside the page or in it (see `embed`). `facts` are figures as shown, such as {"bytes": "23,456",
    "PSNR": "34.21 dB"}; their names become the columns of the table, in the order of first use.
    """

    label: str
    source: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """A picture of `width` x `height` pixels and its versions; the first one is the original.

    `left` and `right` are the shots that are shown first.
    """

    name: str
    width: int
    height: int
    shots: tuple[Shot, ...]
    left: int = 0
    right: int = 1


def embed(data: bytes) -> str:
    """The bytes of a picture file as a data URL. Raises ValueError unless they are PNG, JPEG, WebP, AVIF or GIF."""
    kind = "image/avif" if data[4:12] == b"ftypavif" else next((k for m, k in _KINDS.items() if data.startswith(m)), "")
    if not kind:
        raise ValueError(f"expected a picture that browsers show, found the bytes {data[:12].hex()}")
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def page(title: str, scenes: Sequence[Scene], note: str = "") -> str:
    """A whole HTML page; `note` is a sentence below the pictures."""
    footer = f"<footer>{escape(note)}</footer>\n" if note else ""
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>:root {{ color-scheme: light dark }} body {{ margin: 0 }}</style>\n"
        f"{fragment(scenes, fill=True)}{footer and f'<style>{_FOOTER}</style>{footer}'}</html>\n"
    )


_FOOTER = (
    "footer { padding: 0 16px 16px; font: 13px/1.5 system-ui, sans-serif; color: light-dark(#6b6b70, #9b9ba3); "
    "max-width: 90ch; overflow-wrap: anywhere }"
)


def fragment(scenes: Sequence[Scene], *, fill: bool = False) -> str:
    """The viewer as a piece of HTML; with `fill` its stage takes the height of the window.

    Raises ValueError for a scene with fewer than two shots, because there is nothing to compare.
    """
    for scene in scenes:
        if len(scene.shots) < 2:
            raise ValueError(f"{scene.name}: expected at least two versions, found {len(scene.shots)}")
    style, markup, script = (_text(name) for name in ("viewer.css", "viewer.html", "viewer.js"))
    data = json.dumps([_plain(scene) for scene in scenes], ensure_ascii=False)
    data = data.replace("<", "\\u003c")  # a name with `<!--<script>` would keep the element open
    return (
        f'<style>\n{style}</style>\n<section class="viewer{" fill" if fill else ""}">\n{markup}'
        f'<script type="application/json">{data}</script>\n</section>\n<script>\n{script}</script>\n'
    )


def _plain(scene: Scene) -> dict[str, object]:
    shots = [{"label": s.label, "source": s.source, "facts": dict(s.facts)} for s in scene.shots]
    size = {"width": scene.width, "height": scene.height}
    return {"name": scene.name, **size, "left": scene.left, "right": scene.right, "shots": shots}


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
