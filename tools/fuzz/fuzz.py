"""Coverage-guided fuzzing of everything that reads bytes which strangers may have written.

    pip install atheris
    python tools/fuzz/fuzz.py TARGET [RUNS] [SEED] [any option of libFuzzer]

    TARGET    what is fuzzed, with an attacker who gets every check right that is no secret
    file      the whole container: header, stream lengths, boxes; checks as the bytes give them; what is left of it
    sealed    the same, with the header check, the checks of the boxes and those of a PNG in one made to fit
    streams   the stream coder on tables and indexes that the input picks
    decode    the decoder with the network `tiny`: header sealed, fingerprint and symbol checksum made to fit; what is
              not sound is decoded as far as it is intact
    light     the same with a light network, by torch
    onnx      and by ONNX Runtime
    boxes     ICC profile, Exif, XMP and alpha of a stranger on their way into PNG, JPEG, WebP, TIFF and AVIF
    weights   weights files, byte by byte
    tensors   weights files changed where their structure is: values, types, shapes, offsets, names, words, the
              description, the header, the end; the fingerprint fits or does not

Allowed is a child of `FedsError`, or success. Anything else ends the run and leaves the input in a file, and so does an
input that takes more than SECONDS or brings the process above MEGABYTES. Inputs start from the conformance files, one
of them with boxes of every kind, the hostile files, sound payloads of boxes, and networks that are as small as can be.
The same command gives the same run, up to the speed of the machine.
"""

from __future__ import annotations

import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fedscodec"]):
    import containers
    import weights_files
    from seeds import seeds

    from fedscodec.errors import FedsError

SECONDS, MEGABYTES = 2.0, 2048
LIGHT = str(Path(__file__).parents[2] / "tests" / "conformance" / "networks" / "mini-light-student.safetensors")
LONGEST = {"weights": 20_000, "tensors": 98}

TARGETS: dict[str, Callable[[], Callable[[bytes], None]]] = {
    "file": lambda: containers.file,
    "sealed": lambda: containers.resealed,
    "streams": lambda: containers.streams,
    "decode": lambda: containers.Decoder("tiny"),
    "light": lambda: containers.Decoder(LIGHT),
    "onnx": lambda: containers.Decoder(LIGHT, "onnx"),
    "boxes": lambda: containers.boxes,
    "weights": weights_files.Weights,
    "tensors": weights_files.Tensors,
}


def main(target: str, runs: str = "100000", seed: str = "1", *options: str) -> None:
    """Fuzz a target; libFuzzer ends the process."""
    run = TARGETS[target]()

    def once(data: bytes) -> None:
        begin = time.process_time()
        try:
            with suppress(FedsError):
                run(data)
            if (seconds := time.process_time() - begin) > SECONDS:
                raise AssertionError(f"an input took {seconds:.1f} s of the processor")
        except BaseException:
            Path(f"crash-{target}-{zlib.crc32(data):08x}").write_bytes(data)
            raise

    folder = Path(tempfile.mkdtemp())
    seeds(target, folder)
    atheris.Setup(
        [
            sys.argv[0], f"-runs={runs}", f"-seed={seed}", f"-max_len={LONGEST.get(target, 4096)}",
            f"-rss_limit_mb={MEGABYTES}", "-timeout=120", "-print_final_stats=1", *options, str(folder),
        ],
        once,
    )  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(__doc__)
    main(*sys.argv[1:])
