"""HEVC and VVC as peers: x265 and vvenc through imageio-ffmpeg's ffmpeg binary, one process per picture.

zimg converts RGB to BT.709 YCbCr of 10 bits and full range (RGB → 4:4:4 → RGB comes back without any error). The bytes
are the elementary stream with its parameter sets, without container. Seconds are those of the whole process, including
its start (about 0.02 s) and both conversions.
"""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..errors import FedsError
from ..images import Picture
from .coders import Coder, Half, MissingPeerError
from .memory import CHILD, resident
from .results import Codec

_HOW_TO_GET = "pip install imageio-ffmpeg"
_TO_YCBCR = "zscale=matrix=709:range=full:filter=bicubic,format={}"
_TO_RGB = "zscale=matrixin=709:rangein=full:filter=bicubic,format=gbrp,format=rgb24"
_SECONDS_BETWEEN_LOOKS = 0.002


@cache
def binary() -> str:
    """The ffmpeg of imageio-ffmpeg. Raises MissingPeerError if it is not installed, or has no zimg for the colours."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        path = str(get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise MissingPeerError(_HOW_TO_GET) from error
    if " zscale " not in _listing(path, "-filters"):
        raise MissingPeerError(f"the ffmpeg at {path} has no zscale filter; unset IMAGEIO_FFMPEG_EXE and {_HOW_TO_GET}")
    return path


def version() -> str:
    """The version of that ffmpeg."""
    return _listing(binary(), "-version").split()[2]


def _listing(path: str, what: str) -> str:
    return subprocess.run([path, "-hide_banner", what], capture_output=True, text=True, check=False).stdout


@dataclass
class FfmpegCoder:
    """An encoder of ffmpeg; `arguments` gives its options for a setting, `stream` is its elementary format."""

    codec: Codec
    settings: Sequence[float]
    stream: str
    pixels: str  # ffmpeg's name of the samples that are coded
    threads: int
    arguments: Callable[[float], list[str]]
    multiple: int = 1  # of which both sides have to be; pictures are continued by their last row and column
    _size: tuple[int, int] = field(init=False, default=(0, 0))

    def encode(self, picture: Picture, setting: float) -> Half[bytes]:
        """An elementary stream of one intra picture."""
        self._size = picture.height, picture.width
        more = [(0, -side % self.multiple) for side in self._size]
        pixels = np.pad(picture.pixels, [*more, (0, 0)], mode="edge")
        source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{pixels.shape[1]}x{pixels.shape[0]}", "-i", "-"]
        to = ["-vf", _TO_YCBCR.format(self.pixels), "-frames:v", "1", *self.arguments(setting), "-f", self.stream, "-"]
        return run([*source, *to], pixels.tobytes(), self.threads)

    def decode(self, data: bytes) -> Half[NDArray[np.uint8]]:
        """Its picture, by ffmpeg's own decoder."""
        to = ["-vf", _TO_RGB, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        half = run(["-threads", str(self.threads), "-f", self.stream, "-i", "-", *to], data, self.threads)
        rows, columns = self._size
        height, width = (side + -side % self.multiple for side in self._size)
        if len(half.result) != height * width * 3:
            raise FedsError(f"{self.codec.title}: expected {height * width * 3} samples, found {len(half.result)}")
        pixels = np.frombuffer(half.result, np.uint8).reshape(height, width, 3)[:rows, :columns]
        return Half(pixels, half.seconds, half.peak_bytes)


def run(arguments: list[str], data: bytes, threads: int) -> Half[bytes]:
    """Standard output of ffmpeg for `data` on standard input. Raises FedsError with its first words if it fails."""
    command = [binary(), "-hide_banner", "-loglevel", "error", "-nostats", "-filter_threads", str(threads), *arguments]
    begin = time.perf_counter()
    with (
        tempfile.TemporaryFile() as errors,  # a file, as a pipe that nobody empties would fill up
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        watch = _Watch(process.pid)
        try:
            out, _ = process.communicate(data)
        except BaseException:  # Ctrl-C among them
            process.kill()
            raise
        finally:
            peak = watch.stop()
        seconds = time.perf_counter() - begin
        if process.returncode or not out:
            errors.seek(0)
            words = errors.read().decode("utf-8", "replace").strip().splitlines() or ["no output"]
            raise FedsError(f"ffmpeg failed: {words[0]}")
    return Half(out, {"ffmpeg": seconds}, peak)


class _Watch:
    """Samples the high-water mark of a process until stopped, because it is gone when the process has ended.

    The system's figures on ended children do not help: they include the memory of the parent that started them.
    """

    def __init__(self, process: int) -> None:
        self._process, self._peak, self._ended = process, 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(_SECONDS_BETWEEN_LOOKS):
            self._peak = max(self._peak, resident("VmHWM", self._process) or 0)

    def stop(self) -> int | None:
        self._ended.set()
        self._thread.join()
        return self._peak or None


def _require(encoder: str, decoder: str) -> None:
    for kind, name in (("-encoders", encoder), ("-decoders", decoder)):
        if f" {name} " not in _listing(binary(), kind):
            raise MissingPeerError(f"the installed ffmpeg ({version()}) has no {name}; {_HOW_TO_GET} --upgrade")


def hevc(settings: Sequence[float], threads: int) -> Coder:
    """HEVC 4:4:4 in 10 bits by x265; settings are QPs."""
    _require("libx265", "hevc")
    codec = Codec("HEVC (x265)", "peer", f"ffmpeg {version()}", "YCbCr 4:4:4, 10 bits", setting="QP",
                  options="preset slow, tune psnr", memory=CHILD)  # fmt: skip
    return FfmpegCoder(
        codec, settings, "hevc", "yuv444p10le", threads,
        lambda qp: ["-c:v", "libx265", "-preset", "slow", "-tune", "psnr", "-x265-params",
                    f"qp={qp:g}:keyint=1:info=0:pools={threads}:log-level=error"],
    )  # fmt: skip


def vvc(settings: Sequence[float], threads: int) -> Coder:
    """VVC by vvenc, which ffmpeg feeds with 10-bit 4:2:0 only; settings are QPs."""
    _require("libvvenc", "vvc")
    codec = Codec("VVC (vvenc)", "peer", f"ffmpeg {version()}", "YCbCr 4:2:0, 10 bits", setting="QP",
                  options="preset fast, without perceptual adaptation", memory=CHILD)  # fmt: skip
    return FfmpegCoder(
        codec, settings, "vvc", "yuv420p10le", threads,
        lambda qp: ["-c:v", "libvvenc", "-preset", "fast", "-qp", f"{qp:g}", "-qpa", "0", "-threads", str(threads)],
        multiple=2,
    )  # fmt: skip
