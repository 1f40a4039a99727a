"""The folder with the results of a benchmark.

results.json                               every row, see `results`
compressai/CODEC.json                      the curves in the layout that CompressAI's plotting tools read
decoded/original/PICTURE.webp              a few pictures without loss, for the viewer of the report
decoded/CODEC/SETTING/PICTURE.webp         the same, as each codec left them
"""

from __future__ import annotations

import glob
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..files.outputs import write_file
from ..images import Picture, picture_bytes
from ..metrics.table import METRICS
from .results import Results, decoded_path, read_results, summarise, to_json
from .run import Measured

RESULTS = "results.json"
_COMPRESSAI = {"psnr": "psnr-rgb", "ms_ssim": "ms-ssim-rgb"}  # what it calls them


def prepare(folder: Path, *, force: bool, resume: bool) -> Results | None:
    """Prepare the folder; return the results of an earlier benchmark if that is to continue.

    Raises OutputError if there are results and neither `resume` nor `force` is set; `force` removes them.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file, expected a folder for the results")
    found = (folder / RESULTS).is_file()
    if found and resume:
        return read_results(folder)
    if found and not force:
        raise OutputError(f"{folder / RESULTS}: already exists; use --resume to continue it or --force to start again")
    try:
        for part in ("compressai", "decoded"):
            if found and (folder / part).is_dir():
                shutil.rmtree(folder / part)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
    return None


def keep_results(folder: Path, results: Results) -> None:
    """Write results.json, completely or not at all."""
    write_file(folder / RESULTS, to_json(results).encode(), force=True)


def keep_curves(folder: Path, results: Results) -> None:
    """Write the curve of each codec as CompressAI does."""
    (folder / "compressai").mkdir(exist_ok=True)
    for key in results.codecs:
        write_file(folder / "compressai" / f"{key}.json", compressai_json(results, key).encode(), force=True)


def compressai_json(results: Results, key: str) -> str:
    """The means of one codec over the pictures, in the layout of `compressai.utils.plot`."""
    codec, where = results.codecs[key], results.where
    summaries = [s for s in summarise(results.rows) if s.codec == key]
    columns = {
        "bpp": [s.bpp for s in summaries],
        **{
            _COMPRESSAI.get(name, name): [s.quality.get(name) for s in summaries]
            for name in METRICS
            if any(name in s.quality for s in summaries)
        },
        "encoding_time": [s.encode_seconds for s in summaries],
        "decoding_time": [s.decode_seconds for s in summaries],
    }
    what = f"{codec.version}, {codec.colour}, {codec.options}; {results.dataset.name}, {where.cpu}, {where.device}"
    return json.dumps({"name": codec.title, "description": what, "results": columns}, indent=1) + "\n"


def keep_pictures(folder: Path, measured: Measured) -> None:
    """Write the decoded picture of a row, and its original, for the viewer."""
    row = measured.row
    original = decoded_path(folder, row.codec, None, row.picture)
    if not original.exists():
        _write_webp(original, measured.original)
    _write_webp(decoded_path(folder, row.codec, row.setting, row.picture), measured.decoded)


def _write_webp(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, picture_bytes(Picture(pixels), "webp"), force=True)


def drop_pictures(folder: Path, names: Iterable[str]) -> None:
    """Delete what `keep_pictures` wrote for these pictures."""
    for name in names:
        for path in (folder / "decoded").glob(f"**/{glob.escape(name)}.webp"):
            path.unlink()


def chosen_for_viewer(names: list[str], count: int) -> set[str]:
    """The names of `count` pictures from all over a list."""
    count = min(count, len(names))
    return {names[(2 * part + 1) * len(names) // (2 * count)] for part in range(count)}
