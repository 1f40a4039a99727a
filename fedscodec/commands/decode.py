"""`feds decode`: a .feds file becomes a picture."""

from __future__ import annotations

from ..errors import FormatError
from ..fileformat import DEFAULT_MAX_PIXELS, unpack
from ..outputs import output_path, require_writable, write_output
from . import report
from .failures import one_sentence
from .options import (
    Debug,
    Device,
    FedsFile,
    Force,
    Format,
    MaxPixels,
    OnDevice,
    Output,
    Quiet,
    examples,
    writable_format,
)
from .streams import name_of, read_feds, say

EXAMPLES = examples(
    "feds decode photo.feds",
    "feds decode photo.feds -o photo.webp",
    "feds decode - < photo.feds > photo.png",
)


def decode(
    source: FedsFile,
    output: Output = None,
    format: Format = None,
    device: OnDevice = Device.AUTO,
    force: Force = False,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Decode a .feds file into a picture."""
    with one_sentence(debug):
        name = name_of(source)
        file = unpack(read_feds(source), name=name, max_pixels=max_pixels)
        target = output_path(source, output, f".{(format or 'png').removeprefix('.')}")
        require_writable(target, force=force, source=source)
        kind = writable_format(format or target.suffix or "png")
        from .. import codec, images

        network = codec.model_by_fingerprint(file.header.fingerprint, device.value, name=name)
        try:
            decoded = codec.decode_file(file, network)
        except FormatError as error:
            raise FormatError(f"{name}: {error}") from error
        write_output(target, images.encode_picture(decoded.picture, kind, name=str(target)), force=force)
        line = report.decoded_line(file.header, network.name, sum(decoded.seconds.values()))
        say(f"{name_of(target, 'output')}: {line}", quiet)
