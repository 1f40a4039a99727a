"""Where memory runs out: smaller tiles, then the CPU, with a word each, and the same symbols."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import fedscodec
from fedscodec.cli import app
from fedscodec.codec import decoding, encoding, latents
from fedscodec.codec import model as loading
from fedscodec.codec.decoding import decode_file
from fedscodec.codec.devices import sparing
from fedscodec.codec.encoding import encode_analysed, encode_picture
from fedscodec.codec.model import Model
from fedscodec.codec.previews import decode_preview
from fedscodec.codec.settings import Encoding
from fedscodec.codec.targets import Target, encode_to_target
from fedscodec.errors import FormatError, LackOfMemoryWarning, is_lack_of_memory
from fedscodec.fileformat import salvage, unpack

CORPUS = Path(__file__).parent / "conformance" / "v1"


class Stub:
    """A network whose ways to need less memory are given."""

    def __init__(self, name, *ways):
        self.name, self.ways = name, ways

    def cheaper(self):
        yield from ((f"as {way}", Stub(way)) for way in self.ways)


def failing(failures):
    """Work that fails in this way on these networks, and else tells which it ran on."""

    @sparing
    def work(subject, network, more="nothing"):
        if network.name in failures:
            raise failures[network.name]
        return subject, network.name, more

    return work


OUT = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
CPU_OUT = RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried")


def test_nothing_is_said_where_memory_suffices():
    assert failing({})("x", Stub("gpu", "small"), more=2) == ("x", "gpu", 2)


GPU_FULL = RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA")
NO_WORKSPACE = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
ONNX_OUT = RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code: std::bad_alloc")


@pytest.mark.parametrize("failure", [OUT, CPU_OUT, GPU_FULL, NO_WORKSPACE, ONNX_OUT, MemoryError()])
def test_one_way_after_the_other_with_a_word_each(failure):
    work = failing({"gpu": failure, "small": OUT})
    with pytest.warns(LackOfMemoryWarning) as words:
        assert work("x", Stub("gpu", "small", "cpu"), more=3) == ("x", "cpu", 3)
    assert [str(word.message) for word in words] == [
        "out of memory, continuing as small",
        "out of memory, continuing as cpu",
    ]


def test_the_last_failure_is_raised():
    with pytest.warns(LackOfMemoryWarning), pytest.raises(MemoryError, match="^last$"):
        failing({"gpu": OUT, "small": MemoryError("last")})("x", Stub("gpu", "small"))


@pytest.mark.parametrize("failure", [FormatError("damaged"), RuntimeError("shape"), KeyboardInterrupt()])
def test_other_failures_pass_at_once(failure):
    assert not is_lack_of_memory(failure)
    with pytest.raises(type(failure)):
        failing({"gpu": failure})("x", Stub("gpu", "small"))


def short_of_memory(monkeypatch, name, enough):
    """Let the work of that name in the codec run out of memory unless the network's tiles are small enough."""
    honest = getattr(latents, name)

    def work(network, *arguments):
        if network.tile_side > enough:
            raise OUT
        return honest(network, *arguments)

    monkeypatch.setattr({"analyse": encoding, "synthesise": decoding}[name], name, work)


def test_a_picture_is_encoded_and_decoded_in_smaller_tiles(codec, picture, monkeypatch):
    whole = encode_picture(picture(width=150, height=130), codec, Encoding(quality=5.0))
    file = unpack(whole.data)
    expected = decode_file(file, codec)
    assert codec.tile_side == 64
    for name in ("analyse", "synthesise"):
        short_of_memory(monkeypatch, name, enough=16)
    with pytest.warns(LackOfMemoryWarning, match="^out of memory, continuing in smaller tiles$"):
        small = encode_picture(picture(width=150, height=130), codec, Encoding(quality=5.0))
    assert sum(int((a != b).sum()) for a, b in zip(whole.symbols, small.symbols, strict=True)) <= 2
    with pytest.warns(LackOfMemoryWarning, match="^out of memory, continuing in smaller tiles$"):
        decoded = decode_file(file, codec)
    assert all(np.array_equal(a, b) for a, b in zip(expected.symbols, decoded.symbols, strict=True))
    assert np.abs(decoded.picture.pixels.astype(int) - expected.picture.pixels).max() <= 1
    assert codec.tile_side == 64  # the next picture may be smaller


def test_where_that_is_not_enough_it_fails(codec, picture, monkeypatch):
    short_of_memory(monkeypatch, "analyse", enough=1)
    with pytest.warns(LackOfMemoryWarning), pytest.raises(torch.OutOfMemoryError):
        encode_picture(picture(), codec, Encoding(quality=5.0))


def on_a_gpu(model, weights):
    """The network as it would be on a GPU, of which there need not be one: what is asked of it fails."""
    other = object.__new__(Model)
    other.__dict__ = {**model.__dict__, "device": torch.device("cuda"), "_weights": weights}
    return other


def test_then_it_continues_on_the_cpu(codec, tiny_weights, picture, monkeypatch):
    encoded = encode_picture(picture(), codec, Encoding(quality=4.0))
    gpu = on_a_gpu(codec, tiny_weights)
    monkeypatch.setenv("FEDS_PRECISION", "float32")
    (_, small), (_, cpu) = gpu.cheaper()
    assert (gpu.tile_side, small.tile_side, cpu.tile_side) == (160, 40, 64)
    assert (small.device.type, cpu.device.type) == ("cuda", "cpu")
    honest = latents.synthesise

    def work(network, *arguments):
        if network.device.type != "cpu":
            raise OUT
        return honest(network, *arguments)

    monkeypatch.setattr(decoding, "synthesise", work)
    monkeypatch.setattr(decoding, "_read_latents", lambda *_: (encoded.y_hat, encoded.symbols))
    with pytest.warns(LackOfMemoryWarning) as words:
        found = decode_file(unpack(encoded.data), gpu).picture
    ways = [str(word.message).removeprefix("out of memory, continuing ") for word in words]
    assert ways == ["in smaller tiles", "on the CPU"]
    assert np.abs(found.pixels.astype(int) - codec.decode(encoded.data).pixels).max() <= 1


class Full(Model):
    """A network on a device that has no room for anything: not a GPU, so that none is asked for, but not the CPU."""

    def gains(self, quality):
        """Without room for a vector."""
        raise OUT


@pytest.fixture
def full(codec, tiny_weights, monkeypatch):
    monkeypatch.setenv("FEDS_PRECISION", "float32")
    honest_walk, honest_analyse = encoding.walk, encoding.analyse

    def walk(side, z, y, quality, coder, *more):
        if getattr(coder, "device", torch.device("cpu")).type != "cpu":
            raise OUT
        return honest_walk(side, z, y, quality, coder, *more)

    def analyse(network, *more):
        if network.device.type != "cpu":
            raise OUT
        return honest_analyse(network, *more)

    for room in (encoding, decoding):
        monkeypatch.setattr(room, "walk", walk)
    monkeypatch.setattr(encoding, "analyse", analyse)
    other = object.__new__(Full)
    other.__dict__ = {**codec.__dict__, "device": torch.device("meta"), "_weights": tiny_weights}
    return other


WORK = {  # everything that runs a network
    "encode_picture": lambda given, network: encode_picture(given.picture, network, Encoding(quality=4.0)).data,
    "encode_analysed": lambda given, network: encode_analysed(given.analysed, network, Encoding(quality=4.0)).data,
    "encode_to_target": lambda given, network: encode_to_target(given.picture, network, given.target).encoded.data,
    "decode_file": lambda given, network: decode_file(given.file, network).picture.pixels,
    "decode_salvaged": lambda given, network: decoding.decode_salvaged(given.cut, network).picture.pixels,
    "read_symbols": lambda given, network: decoding.read_symbols(given.file, network)[1],
    "reconstruct": lambda given, network: decoding.reconstruct(given.encoded, network).pixels,
    "decode_preview": lambda given, network: decode_preview(given.file, network, size=20).picture.pixels,
    "preview of a slice": lambda given, network: decode_preview(given.file, network, slices=1).picture.pixels,
    "fedscodec.decode": lambda given, network: np.asarray(fedscodec.decode(given.encoded.data, model=network)),
}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_whatever_runs_a_network_ends_up_on_the_cpu(work, full, codec, picture):
    original = picture()
    encoded = encode_picture(original, codec, Encoding(quality=4.0))
    given = SimpleNamespace(
        picture=original, encoded=encoded, file=unpack(encoded.data), cut=salvage(encoded.data[:-1]),
        analysed=encoding.analyse_picture(original, codec), target=Target("size", len(encoded.data)),
    )  # fmt: skip
    expected = work(given, codec)
    with pytest.warns(LackOfMemoryWarning) as words:
        found = work(given, full)
    ways = [str(word.message).removeprefix("out of memory, continuing ") for word in words]
    assert ways[:2] == ["in smaller tiles", "on the CPU"]
    assert np.array_equal(np.frombuffer(found, np.uint8) if isinstance(found, bytes) else found,
                          np.frombuffer(expected, np.uint8) if isinstance(expected, bytes) else expected)  # fmt: skip


def test_a_network_that_does_not_fit_is_loaded_on_the_cpu(monkeypatch):
    def no_room(name):
        if name != "cpu":
            raise OUT
        return torch.device("cpu")

    monkeypatch.setattr(loading, "choose_device", no_room)
    with pytest.warns(LackOfMemoryWarning, match="^out of memory, continuing on the CPU$"):
        assert loading.load_model("tiny", "cuda").device.type == "cpu"


def test_the_command_line_says_it_in_a_line(tmp_path, monkeypatch):
    short_of_memory(monkeypatch, "synthesise", enough=16)
    target = tmp_path / "a.png"
    result = CliRunner().invoke(app, ["decode", str(CORPUS / "noise-q7.feds"), "-o", str(target), "--device", "cpu"])
    assert result.exit_code == 0
    assert result.stderr.splitlines()[0] == "feds: out of memory, continuing in smaller tiles"
    assert target.exists()


def test_of_many_files_each_says_it(tmp_path, monkeypatch):
    short_of_memory(monkeypatch, "synthesise", enough=16)
    files = [str(CORPUS / f"{name}.feds") for name in ("noise-q7", "flat-q4")]
    result = CliRunner().invoke(app, ["decode", *files, "-o", str(tmp_path), "--device", "cpu", "--jobs", "1"])
    assert result.exit_code == 0, result.stderr
    assert result.stderr.splitlines().count("feds: out of memory, continuing in smaller tiles") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flat-q4.png", "noise-q7.png"]


def test_latents_stay_where_the_network_is(codec, picture):
    analysed = encoding.analyse_picture(picture(), codec)
    how = Encoding(quality=4.0)
    assert encode_analysed(analysed, codec, how).data == encode_picture(picture(), codec, how).data
