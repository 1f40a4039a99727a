"""The table of codecs that feds is compared with.

Each uses its best settings for RGB PSNR at an acceptable speed; some newer ones are also measured with their defaults.
All state their colour space, subsampling, version and options. One that is not installed raises MissingPeerError, whose
text says how to get it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import FedsError
from . import ffmpeg, pillow_codecs, zoo
from .coders import Coder, MissingPeerError


@dataclass(frozen=True)
class Peer:
    """An entry of the table: its settings, those for `--quick`, and how to open it.

    `open` takes the settings and the number of threads, and raises MissingPeerError.
    """

    settings: tuple[float, ...]
    quick: tuple[float, ...]
    open: Callable[[Sequence[float], int], Coder]


PEERS: dict[str, Peer] = {
    "jpeg": Peer((5, 15, 35, 60, 85), (15, 60, 85), pillow_codecs.jpeg),
    "jpegli": Peer((10, 35, 65, 90), (35, 65, 90), pillow_codecs.jpegli),
    "jpeg2000": Peer((128, 56, 28, 14), (56, 28, 14), pillow_codecs.jpeg2000),
    "webp": Peer((2, 30, 70, 90), (30, 70, 90), pillow_codecs.webp),
    "avif": Peer((10, 28, 45, 62), (28, 62), pillow_codecs.avif),
    "avif-default": Peer((15, 35, 55, 75), (35, 75), pillow_codecs.avif_default),
    "jxl": Peer((20, 50, 75, 90), (50, 75, 90), pillow_codecs.jxl(7)),
    "jxl-e9": Peer((20, 50, 75, 90), (50, 75), pillow_codecs.jxl(9)),
    "hevc": Peer((42, 37, 32, 27), (37, 27), ffmpeg.hevc),
    "vvc": Peer((42, 37, 32, 27), (37, 27), ffmpeg.vvc),
    "bmshj2018-hyperprior": Peer((1, 2, 3, 4, 5, 6), (2, 5), zoo.opener("bmshj2018-hyperprior")),
    "mbt2018": Peer((1, 2, 3, 4, 5, 6), (2, 5), zoo.opener("mbt2018")),
    "cheng2020-attn": Peer((1, 2, 3, 4, 5, 6), (2, 5), zoo.opener("cheng2020-attn")),
}


def chosen(names: str) -> list[str]:
    """The peers for `all`, `none` or a list with commas. Raises FedsError for an unknown name."""
    if names in ("all", "none"):
        return list(PEERS) if names == "all" else []
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in PEERS]:
        raise FedsError(f"{unknown[0]}: no such peer; there are {', '.join(PEERS)}, or all, or none")
    return list(dict.fromkeys(wanted))


def opened(names: list[str], threads: int, *, quick: bool = False) -> tuple[dict[str, Coder], dict[str, str]]:
    """The coders of the installed peers, and for each other one how to get it."""
    coders: dict[str, Coder] = {}
    absent: dict[str, str] = {}
    for name in names:
        peer = PEERS[name]
        try:
            coders[name] = peer.open(peer.quick if quick else peer.settings, threads)
        except MissingPeerError as how:
            absent[name] = str(how)
    return coders, absent
