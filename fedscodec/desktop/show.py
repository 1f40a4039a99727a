"""Open a .feds file on a desktop: decode it to a PNG and pass that to the picture viewer.

The PNG is in a folder that only the user may read, below the cache folder. It is removed a day after it was last shown.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from ..errors import FedsError, OutputError
from ..files.names import shown
from ..machine import cache_folder

_KEPT = 24 * 3600  # seconds


def main() -> int:
    """Show the files in the arguments of this process."""
    if not sys.argv[1:]:
        print("usage: python -m fedscodec.desktop.show FILE.feds...", file=sys.stderr)
        return 2
    failed = 0
    for name in sys.argv[1:]:
        try:
            open_picture(decoded(Path(name), cache_folder()))
        except (FedsError, OSError) as error:
            failed = 1
            _tell(f"feds: {error}")
    return failed


def decoded(source: Path, folder: Path) -> Path:
    """The PNG of a .feds file in a folder; an existing one is used again. Raises FedsError or OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in folder.glob("*.png"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > _KEPT:
                old.unlink()
    data = source.read_bytes()
    stem = source.stem.encode(errors="ignore")[:100].decode(errors="ignore")  # a name may have 255 bytes, not letters
    target = folder / f"{stem}-{hashlib.sha256(data).hexdigest()[:16]}.png"
    if target.exists():
        target.touch()
        return target
    from ..codec.model import model_by_fingerprint
    from ..codec.settings import Decoding
    from ..codec.single import decode_one
    from ..files.outputs import write_file
    from ..images import picture_bytes

    how, name = Decoding(), shown(source)
    file = how.unpack(data, name=name)
    network = model_by_fingerprint(file.header.fingerprint, name=name)
    write_file(target, picture_bytes(decode_one(file, network, how, name=name).picture, "png"), force=True)
    return target


def open_picture(path: Path) -> None:
    """Open a picture in the picture viewer. Raises OutputError if there is none."""
    opener = shutil.which("xdg-open")
    if opener is None:
        raise OutputError(f"{path}: cannot be shown, because xdg-open is not installed")
    subprocess.Popen([opener, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def _tell(sentence: str) -> None:
    """Print a message, and also show it as a notification, because a user who clicked on a file sees no terminal."""
    print(sentence, file=sys.stderr)
    if program := shutil.which("notify-send"):
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run([program, "--app-name=feds", "feds", sentence], timeout=10, check=False)


if __name__ == "__main__":
    sys.exit(main())
