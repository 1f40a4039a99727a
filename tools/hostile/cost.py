"""What hostile files cost before they are refused: seconds of the processor and mebibytes.

    python tools/hostile/cost.py [MODEL]

Every hostile .feds file, and files of MODEL (student by default) that claim 64 megapixels and hold noise, each in a
process of its own that has its network loaded. Last, files that are sound: four megapixels of one colour, and the
shortest file of four megapixels that there may be, whose symbols are all the most probable.
"""

from __future__ import annotations

import os
import resource
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from fedscodec import fileformat  # noqa: E402
from fedscodec.codec.decoding import decode_file  # noqa: E402
from fedscodec.codec.model import Model, load_model  # noqa: E402
from fedscodec.entropy.fixedpoint import MEAN_UNIT  # noqa: E402
from fedscodec.entropy.parts import Part  # noqa: E402
from fedscodec.entropy.streams import StreamWriter, symbol_bytes  # noqa: E402
from fedscodec.errors import FedsError  # noqa: E402
from fedscodec.images import Picture  # noqa: E402
from fedscodec.networks.walk import walk  # noqa: E402


def cost(data: bytes, model: Model) -> tuple[float, float, str]:
    """Seconds, mebibytes beyond those of the process, and how it ended."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if not child:
        Path("/proc/self/clear_refs").write_text("5")  # so that the peak begins anew
        before, begin = _peak(), time.process_time()
        try:
            decode_file(fileformat.unpack(data), model)
            words = "decoded"
        except FedsError as error:
            words = str(error)
        os.write(writing, f"{time.process_time() - begin}|{_peak() - before}|{words}".encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        seconds, kilobytes, words = pipe.read().split("|", 2)
    os.waitpid(child, 0)
    return float(seconds), float(kilobytes) / 1024, words


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def claims(model: Model) -> dict[str, bytes]:
    """Files of 64 megapixels with streams of so many bytes of noise."""
    found = {}
    for size in (0, 9, 100, 10_000, 1_000_000):
        noise = np.random.default_rng(1).integers(1, 256, size, dtype=np.uint8).tobytes()
        streams = [noise] * (model.spec.streams + 1)
        file = fileformat.assemble(
            fingerprint=model.fingerprint, quality=4000, width=8192, height=8192, grey=False, streams=streams,
            symbols=[],
        )  # fmt: skip
        found[f"64 megapixels by {model.name}, {size} bytes a stream"] = fileformat.pack(file)
    return found


class Cheapest(StreamWriter):
    """Writes the most probable symbol, whatever it is given."""

    def hyper(self, z: Tensor | None, prior: Any = None) -> Tensor:
        """The mode of every channel."""
        tables = self.z_tables
        modes = torch.from_numpy((tables.frequencies[:, :-1].argmax(1) + tables.low).astype(np.int16))
        return super().hyper(modes.float().expand(z.shape), prior)

    def code(self, part: Part, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
        """Zeros."""
        return super().code(part, mean.float() / MEAN_UNIT, mean, index)


@torch.inference_mode()
def shortest(model: Model, side: int = 2048) -> bytes:
    """A sound file of side x side pixels in about as few bytes as there can be."""
    writer = Cheapest(model.z_tables, model.y_tables)
    z = torch.empty(1, side // 64, side // 64, model.spec.hyper_latents)
    walk(model.side, z, torch.empty(1, side // 16, side // 16, model.spec.latents), 1000, writer)
    file = fileformat.assemble(
        fingerprint=model.fingerprint, quality=1000, width=side, height=side, grey=False, streams=writer.streams,
        symbols=symbol_bytes(writer.symbols),
    )  # fmt: skip
    return fileformat.pack(file)


def show(name: str, data: bytes, model: Model) -> tuple[float, float]:
    """Print a line and return seconds and mebibytes."""
    seconds, mebibytes, words = cost(data, model)
    print(f"{name:<52}{len(data):>10,} bytes{seconds:>9.3f} s{mebibytes:>8.1f} MiB  {words[:90]}")
    return seconds, mebibytes


def main(name: str = "student") -> None:
    """Print what everything costs."""
    torch.set_num_threads(1)
    tiny, model = load_model("tiny", "cpu"), load_model(name, "cpu")
    for network in (tiny, model):  # what the first picture costs is not the next one's
        network.decode(network.encode(Picture(np.zeros((8, 8, 3), np.uint8))))
    found = [show(path.name, path.read_bytes(), tiny) for path in sorted((ROOT / "tests" / "hostile").glob("*.feds"))]
    print(f"most: {max(s for s, _ in found):.3f} s, {max(m for _, m in found):.1f} MiB")
    for title, data in claims(model).items():
        show(title, data, model)
    flat = Picture(np.full((2048, 2048, 3), 90, np.uint8))
    for network in (tiny, model):
        show(f"4 megapixels of one colour by {network.name}, sound", network.encode(flat, 1.0), network)
        show(f"4 megapixels, the shortest by {network.name}, sound", shortest(network), network)


if __name__ == "__main__":
    if not hasattr(resource, "RLIMIT_AS") or not Path("/proc/self/status").exists():
        sys.exit("this asks /proc what a process takes")
    main(*sys.argv[1:])
