"""Weights of other programs are named as what they are, wherever weights are asked for, and never loaded."""

from __future__ import annotations

import io
import pickle  # to make files that must not be loaded
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from test_cli import feds, told

FORMAT = "expected a weights file of feds (safetensors, feds-weights-1)"


class Burns:
    """What runs code when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("burnt"),)


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, pickle.dumps(Burns()))
    return buffer.getvalue()


FILES = {
    "new.pth": (
        archive("archive/data.pkl", "archive/version"),
        "a PyTorch checkpoint, a pickle, which feds never loads",
    ),
    "old.pt": (pickle.dumps(Burns(), protocol=2), "a Python pickle, as old PyTorch checkpoints are"),
    "renamed.safetensors": (archive("x/data.pkl"), "a PyTorch checkpoint, a pickle, which feds never loads"),
    "arrays.npz": (archive("a.npy"), "an archive of NumPy arrays"),
    "other.bin": (b"PK\3\4 cut", "a ZIP archive, as PyTorch checkpoints are"),
    "model.h5": (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes them"),
    "model.gguf": (b"GGUF\3\0\0\0", "a GGUF file"),
    "model.onnx": (b"\x08\x08\x12\x07pytorch", "an ONNX model"),
    "old.tar": (b"\0" * 257 + b"ustar\0", "a tar archive, as old PyTorch checkpoints are"),
    "photo.safetensors": (b"FEDS\1", "a .feds file, which holds a picture"),
    "pointer.safetensors": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
        "a pointer of Git LFS in place of the file, which `git lfs pull` fetches",
    ),
}


@pytest.fixture(autouse=True)
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16)).save("photo.png")


@pytest.mark.parametrize("name", FILES)
def test_files_of_other_programs(name):
    data, kind = FILES[name]
    Path(name).write_bytes(data)
    for command in (
        ["encode", "photo.png", "-o", "a.feds", "--model", name],
        ["export", name, "-o", "out.safetensors"],
        ["rounding", name, "photo.png"],
    ):
        assert told(feds(*command)) == (1, b"", f"feds: {name}: is {kind}; {FORMAT}\n"), command[0]
    assert not Path("burnt").exists()


def test_safetensors_of_another_program():
    save_file({"unet.in.weight": np.zeros(3, np.float32), "unet.out.bias": np.zeros(1, np.float32)}, "a.safetensors")
    save_file({"only": np.zeros(3, np.float32)}, "b.safetensors", metadata={"format": "pt"})
    save_file({"0": np.zeros(3, np.float32)}, "c.safetensors", metadata={"format": "feds-training-1"})
    for name, found in {
        "a": "None: a safetensors file of another program (with the tensor unet.in.weight and 1 more)",
        "b": "pt: a safetensors file of another program (with the tensor only)",
        "c": "feds-training-1: the state of a training run, its weights lie beside it",
    }.items():
        words = f"feds: {name}.safetensors: expected a weights file of format feds-weights-1, found {found}\n"
        assert told(feds("encode", "photo.png", "--model", f"{name}.safetensors")) == (1, b"", words)


def test_what_is_not_there_and_what_is_no_file():
    assert told(feds("encode", "photo.png", "--model", "gone.pth")) == (
        1,
        b"",
        "feds: gone.pth: no such weights file\n",
    )
    Path("folder.safetensors").mkdir()
    code, _, err = told(feds("export", "folder.safetensors", "-o", "a.safetensors"))
    assert (code, err) == (1, f"feds: folder.safetensors: is a folder; {FORMAT}\n")
