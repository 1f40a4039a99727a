"""Comparisons as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import OutputError
from ...images import Picture, picture_bytes
from ...images.planes import WEBP_SIDE_AT_MOST
from ..viewer import Scene, Shot, embed, page
from .versions import Comparison, Version

NOTE = (
    "Bytes are those of whole files. The original and what feds decodes are shown without loss (WebP or PNG); the "
    "other codecs' files are shown as they are. PSNR is over the RGB samples of the whole picture."
)


def comparison_page(comparisons: Sequence[Comparison]) -> str:
    """The page of one or more comparisons."""
    names = ", ".join(comparison.name for comparison in comparisons)
    return page(f"{names} in feds", [_scene(comparison) for comparison in comparisons], NOTE)


def _scene(comparison: Comparison) -> Scene:
    original = comparison.original
    size = {"bytes": f"{comparison.source_bytes:,}"} if comparison.source_bytes else {}
    shots = [Shot("original", embed(_without_loss(original)), size), *map(_shot, comparison.versions)]
    return Scene(comparison.name, original.width, original.height, tuple(shots))


def _shot(version: Version) -> Shot:
    facts = {
        "bytes": f"{len(version.data):,}",
        "bpp": f"{version.bpp:.3f}",
        "PSNR": version.error,
        "note": "" if version.fits else "cannot be as small",
    }
    picture = _without_loss(version.picture) if version.codec == "feds" else version.data
    return Shot(version.label, embed(picture), {name: fact for name, fact in facts.items() if fact})


def _without_loss(picture: Picture) -> bytes:
    if max(picture.width, picture.height) <= WEBP_SIDE_AT_MOST:
        try:
            return picture_bytes(picture, "webp")
        except OutputError:  # a Pillow that was built without WebP
            pass
    return picture_bytes(picture, "png")
