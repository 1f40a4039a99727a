"""Recognise files that are not weights of feds by their first bytes, without loading them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_STARTS = {
    b"\x89HDF": "an HDF5 file, as Keras writes them",
    b"GGUF": "a GGUF file",
    b"\x93NUMPY": "an array of NumPy",
    b"FEDS": "a .feds file, which holds a picture",
    b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture",
    b"version https://git-lfs": "a pointer of Git LFS in place of the file, which `git lfs pull` fetches",
    b"\x1f\x8b": "a gzip archive",
    **{bytes([0x80, protocol]): "a Python pickle, as old PyTorch checkpoints are" for protocol in range(2, 6)},
}  # fmt: skip
_MEMBERS = {  # of a ZIP archive, by the end of a name
    "data.pkl": "a PyTorch checkpoint, a pickle, which feds never loads",
    ".weights.h5": "a Keras model",
    ".npy": "an archive of NumPy arrays",
}


def foreign_kind(path: Path) -> str | None:
    """What a file is, if it is a kind that people take for weights; None if it may be safetensors."""
    with suppress(OSError):
        if path.is_dir():
            return "a folder"
        if path.exists() and not path.is_file():
            return "no regular file"  # such as a pipe, which is not waited for
        with path.open("rb") as stream:
            start = stream.read(512)
        if start.startswith(b"PK\3\4"):
            return _kind_of_archive(path)
        if start[257:262] == b"ustar":
            return "a tar archive, as old PyTorch checkpoints are"
        if start[:1] == b"\x08" and path.suffix == ".onnx":
            return "an ONNX model"
        return next((kind for begin, kind in _STARTS.items() if start.startswith(begin)), None)
    return None


def _kind_of_archive(path: Path) -> str:
    with suppress(zipfile.BadZipFile, NotImplementedError, ValueError, OSError), zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            for end, kind in _MEMBERS.items():
                if name.endswith(end):
                    return kind
    return "a ZIP archive, as PyTorch checkpoints are"


def foreign_tensors(names: Sequence[str], kind: str | None) -> str:
    """What a safetensors file is if it is not of feds, by its metadata or its tensors."""
    if kind == "feds-training-1":
        return "the state of a training run, its weights lie beside it"
    if not names:
        return "a safetensors file without tensors"
    more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return f"a safetensors file of another program (with the tensor {min(names)}{more})"
