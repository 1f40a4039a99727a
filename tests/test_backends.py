"""ONNX Runtime in place of torch: the same symbols, the same pixels within a level, and no torch."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import make_picture
from PIL import Image
from typer.testing import CliRunner

from fedscodec.cli import app
from fedscodec.codec.backends import choose_backend, gpu_is_wanted
from fedscodec.codec.decoding import decode_file, read_symbols, reconstruct
from fedscodec.codec.encoding import encode_picture
from fedscodec.codec.model import Model, load_model
from fedscodec.codec.onnx_export import check, onnx_files
from fedscodec.codec.onnx_model import OnnxModel
from fedscodec.codec.settings import Encoding
from fedscodec.entropy.streams import symbol_bytes
from fedscodec.errors import FedsError, WeightsError
from fedscodec.fileformat import unpack
from fedscodec.graphs.fitting import require_floats, shapes_of
from fedscodec.graphs.sessions import Session
from fedscodec.graphs.side import GraphSide
from fedscodec.graphs.transforms import analysis, can_be_exported, gain_of, hyper_analysis, sight_of, synthesis
from fedscodec.images import Picture, read_picture
from fedscodec.networks.blocks import KINDS
from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import STUDENT, STUDENT_PAPER, TEACHER, TINY_LIGHT
from fedscodec.networks.weights import read_weights

FOLDER = Path(__file__).parent / "conformance" / "v1"
NETWORKS = FOLDER.parent / "networks"
INDEX = json.loads((FOLDER / "index.json").read_text())
STUDENTS = [name for name, line in INDEX.items() if line["model"] in ("mini-light-student", "mini-light-corners")]
TEACHERS = [name for name, line in INDEX.items() if line["model"] == "mini-light-teacher"]
ASTRONAUT = Path(__file__).parent / "pictures" / "astronaut.png"


@functools.cache
def weights_of(name):
    return read_weights(NETWORKS / f"{name}.safetensors")


@functools.cache
def student(backend, threads=1, network="mini-light-student"):
    os.environ["OMP_NUM_THREADS"] = str(threads)  # as conftest.py sets it, and back below
    make = OnnxModel if backend == "onnx" else functools.partial(Model, device="cpu", precision=torch.float32)
    return make(weights_of(network), name="mini", quality=4.0)


@pytest.fixture(autouse=True)
def _threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # so that what `student` sets is taken back


def hash_of(symbols):
    return hashlib.sha256(b"".join(symbol_bytes(symbols))).hexdigest()


def opened(name):
    return unpack((FOLDER / f"{name}.feds").read_bytes(), name=name)


def picture(width=150, height=130):
    with Image.open(ASTRONAUT) as image:
        return Picture(np.asarray(image.convert("RGB").crop((120, 20, 120 + width, 20 + height))))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", STUDENTS)
def test_conformance_files_decode_to_their_symbols_and_pixels(name, threads):
    decoded = decode_file(opened(name), student("onnx", threads, INDEX[name]["model"]))
    assert hash_of(decoded.symbols) == INDEX[name]["symbols_sha256"]
    expected = read_picture(FOLDER / f"{name}.png")
    assert np.abs(decoded.picture.pixels.astype(int) - expected.pixels).max() <= 1
    assert decoded.picture.grey == expected.grey


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", TEACHERS)
def test_the_entropy_side_of_teachers_gives_the_same_symbols(name, threads, monkeypatch):
    """Their pixels need attention, of which no graph is made; all that decides symbols is."""
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    weights = weights_of("mini-light-teacher")
    model = object.__new__(OnnxModel)
    model._describe(weights, "mini", 4.0)
    model.side = GraphSide(weights.spec, weights.side)
    assert hash_of(read_symbols(opened(name), model)) == INDEX[name]["symbols_sha256"]


@pytest.mark.parametrize("quality", [1.0, 3.5, 7.0])
def test_each_backend_reads_what_the_other_wrote(quality):
    files = {
        backend: encode_picture(picture(), student(backend), Encoding(quality=quality)) for backend in ("onnx", "torch")
    }
    different = sum(
        int((a != b).sum()) for a, b in zip(files["onnx"].symbols, files["torch"].symbols, strict=True)
    )  # where g_a lies between two integers
    assert different <= 8
    for made in files.values():
        pixels = []
        for backend in ("onnx", "torch"):
            decoded = decode_file(unpack(made.data), student(backend))
            assert hash_of(decoded.symbols) == hash_of(made.symbols)
            pixels.append(decoded.picture.pixels.astype(int))
        assert np.abs(pixels[0] - pixels[1]).max() <= 1


def test_tiles_change_no_symbol_and_no_pixel_by_more_than_a_level(monkeypatch):
    model = student("onnx")
    data = encode_picture(picture(), model, Encoding(quality=6.0)).data
    whole = decode_file(unpack(data), model)
    from fedscodec.graphs import side

    monkeypatch.setattr(side, "SLICE_SIDE", 4)
    monkeypatch.setattr(side, "HYPER_SIDE", 1)
    (_, small) = next(model.cheaper())
    small.tile_shrink = 32
    assert small.tile_side == 2
    tiled = decode_file(unpack(data), small)
    assert hash_of(tiled.symbols) == hash_of(whole.symbols)
    assert np.abs(tiled.picture.pixels.astype(int) - whole.picture.pixels).max() <= 1
    assert sum(
        int((a != b).sum())
        for a, b in zip(encode_picture(picture(), small, Encoding(quality=6.0)).symbols, whole.symbols, strict=True)
    ) <= 4  # fmt: skip


def test_a_preview_needs_no_torch_either():
    from fedscodec.codec.previews import decode_preview

    data = encode_picture(picture(512, 400), student("onnx"), Encoding(quality=3.0)).data
    small = [decode_preview(unpack(data), student(backend), size=40).picture.pixels for backend in ("onnx", "torch")]
    assert small[0].shape == (31, 40, 3)
    assert np.abs(small[0].astype(int) - small[1]).max() <= 1


@pytest.mark.parametrize("spec", [STUDENT, TINY_LIGHT])
def test_shapes_and_sights_are_those_of_the_torch_network(spec):
    with torch.device("meta"):
        model = FedsModel(spec)
    state = {k: tuple(v.shape) for k, v in model.state_dict().items() if not k.startswith("float_side.")}
    assert shapes_of(spec) == state
    assert sight_of(spec, "g_a") == (model.g_a.reach, model.g_a.grain)
    assert sight_of(spec, "g_s") == (model.g_s.reach, model.g_s.grain)


WITHOUT_GRAPH = {"light-mixed-v1", "light-mixed-v2", "residual", "mixed-v1", "mixed-v2"}
"""Kinds of blocks with attention or GDN, which only torch runs."""


@pytest.mark.parametrize("stages", range(1, 5))
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_block_has_a_graph_that_gives_what_torch_gives(kind, stages):
    described = tuple(replace(stage, kind=kind, blocks=stages % 3) for stage in TINY_LIGHT.stages[-stages:])
    spec = replace(TINY_LIGHT, stages=described, shortcut="none" if stages == 2 else "principal")
    assert can_be_exported(spec) == (kind not in WITHOUT_GRAPH)
    if kind in WITHOUT_GRAPH:
        return
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(stages)
        model = FedsModel(spec)
        for table in (*model.g_a.scales.values(), *model.g_s.scales.values()):
            table.normal_(0, 0.3)
    arrays = {k: v.numpy(force=True) for k, v in model.state_dict().items() if not k.startswith("float_side.")}
    require_floats(spec, arrays)
    pixels, level = picture(128, 64).pixels.copy(), np.array([2.75], dtype=np.float32)
    (found,) = Session(analysis(spec, arrays)).run(pixels, level)
    with torch.no_grad():
        given = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        y = model.g_a(given, torch.from_numpy(level)).value
        z, shown = model.h_a(y), model.g_s(y, torch.from_numpy(level)).value
    np.testing.assert_allclose(found, y, rtol=0, atol=1e-4)
    np.testing.assert_allclose(Session(hyper_analysis(spec, arrays)).run(found)[0], z, rtol=0, atol=1e-4)
    levels = Session(synthesis(spec, arrays)).run(found, level)[0].astype(int)
    assert levels.shape == (64, 128, 3)
    assert np.abs(levels - (shown[0].permute(1, 2, 0).clamp(0, 1) * 255).numpy()).max() < 1
    assert levels.std() > 10


@pytest.mark.parametrize("quality", [1.0, 1.25, 4.0, 6.999, 7.0])
def test_gains_are_those_of_the_torch_network(quality):
    ours, theirs = (student(backend).gains(quality) for backend in ("onnx", "torch"))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-6)


def test_a_network_of_one_quality_has_one_gain():
    assert gain_of(np.log(np.array([[2.0, 3.0]])), 1.0).reshape(-1).tolist() == pytest.approx([2, 3])


def test_what_can_be_exported():
    specs = (STUDENT, TINY_LIGHT, TEACHER, STUDENT_PAPER)
    assert [can_be_exported(spec) for spec in specs] == [True, True, False, False]


def test_weights_that_do_not_fit_are_refused():
    weights = weights_of("mini-light-student")
    name = "g_a.down.0.bias"
    others = {k: v for k, v in weights.floats.items() if k != name}
    faults = {
        "missing tensors": others,
        "unknown tensors: ['g_a.more']": weights.floats | {"g_a.more": weights.floats[name]},
        "to have the shape": others | {name: weights.floats[name][:-1]},
        "finite numbers": others | {name: np.full_like(weights.floats[name], np.inf)},
    }
    for words, floats in faults.items():
        with pytest.raises(WeightsError, match=words.replace("[", r"\[")):
            require_floats(weights.spec, floats)
    for key, array, words in (
        ("h_s.0.weight", None, "is missing"),
        ("nets.1.last.bias", np.zeros(3, np.int32), "as int32"),
        ("nets.2.first.shift", np.full_like(weights.side["nets.2.first.shift"], 24), r"shift in 0\.\.23"),
        ("h_s.2.bias", np.full_like(weights.side["h_s.2.bias"], 2**24), r"below 2\*\*24"),
        ("known.shift", np.full_like(weights.side["known.shift"], 10), r"shift in 0\.\.9"),
    ):
        arrays = {k: v for k, v in weights.side.items() if k != key} | ({} if array is None else {key: array})
        with pytest.raises(WeightsError, match=words):
            GraphSide(weights.spec, arrays)


@pytest.mark.parametrize("setting", [("FEDS_BACKEND", "torch"), ("FEDS_EXACT_BACKEND", "float64")], ids=" ".join)
def test_a_backend_from_the_environment_gives_the_same_file(setting, monkeypatch):
    model = load_model(str(NETWORKS / "mini-light-student.safetensors"), "cpu", backend="torch")
    expected = model.encode(read_picture(ASTRONAUT))
    monkeypatch.setenv(*setting)
    model = load_model(str(NETWORKS / "mini-light-student.safetensors"), "cpu")
    assert isinstance(model, Model)
    assert model.encode(read_picture(ASTRONAUT)) == expected


def test_which_backend_is_chosen(monkeypatch):
    monkeypatch.delenv("FEDS_BACKEND", raising=False)
    assert choose_backend("auto", "cpu", STUDENT, "student") == "torch"  # it is loaded here
    assert choose_backend("onnx", "cpu", STUDENT, "student") == "onnx"
    monkeypatch.setenv("FEDS_BACKEND", "onnx")
    assert choose_backend("auto", "auto", STUDENT, "student") == "onnx"
    assert choose_backend("torch", "cpu", STUDENT, "student") == "torch"
    for wanted, device, spec, words in (
        ("onnx", "cuda", STUDENT, "runs on the CPU only, but device cuda"),
        ("onnx", "cpu", TEACHER, "teacher has parts that only the torch backend runs"),
        ("jax", "cpu", STUDENT, "backend must be auto, onnx or torch, found jax"),
    ):
        with pytest.raises(FedsError, match=words):
            choose_backend(wanted, device, spec, "teacher")
    monkeypatch.setenv("FEDS_DEVICE", "cuda")
    with pytest.raises(FedsError, match="runs on the CPU only, but device cuda was asked for"):
        choose_backend("onnx", "auto", STUDENT, "student")
    monkeypatch.setattr("fedscodec.codec.backends._DRIVERS", (Path("/"),))  # as if a GPU were there
    assert gpu_is_wanted("auto")
    monkeypatch.delenv("FEDS_DEVICE")
    assert gpu_is_wanted("auto")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not gpu_is_wanted("auto")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("FEDS_DEVICE", "cpu")
    assert not gpu_is_wanted("auto")
    monkeypatch.setenv("FEDS_BACKEND", "")
    monkeypatch.delitem(sys.modules, "torch")
    assert choose_backend("auto", "cpu", STUDENT, "student") == "onnx"
    assert choose_backend("auto", "cuda", STUDENT, "student") == "torch"
    assert choose_backend("auto", "cpu", TEACHER, "teacher") == "torch"
    monkeypatch.setattr("fedscodec.codec.backends.find_spec", lambda name: None)
    for wanted, device, spec, words in (
        ("auto", "cpu", TEACHER, "the network teacher needs torch, which is not installed: pip install 'fedscodec"),
        ("auto", "cuda", STUDENT, "a GPU needs torch, which is not installed"),
        ("torch", "cpu", STUDENT, "the torch backend needs torch, which is not installed"),
    ):
        with pytest.raises(FedsError, match=words):
            choose_backend(wanted, device, spec, "teacher")


def test_a_name_leads_to_the_backend_that_was_asked_for(monkeypatch):
    monkeypatch.setenv("FEDS_WEIGHTS", str(NETWORKS))
    assert load_model("mini-light-student", backend="onnx").backend == "onnx"
    assert load_model("mini-light-student", "cpu").backend == "torch"


WITHOUT = """
import sys
from pathlib import Path
sys.modules["torch"] = None  # whoever imports it fails
import fedscodec
from fedscodec.cli import app
from typer.testing import CliRunner
picture, folder = sys.argv[1], Path(sys.argv[2])
data = fedscodec.encode(picture, "mini-light-student-q5")
assert fedscodec.decode(data).size == (512, 512)
for words in (
    ["encode", picture, "-o", f"{folder}/a.feds", "--model", "mini-light-student", "--quality", "4", "--measure"],
    ["encode", picture, "-o", f"{folder}/b.feds", "--model", "mini-light-student", "--size", "9000", "--verify"],
    ["decode", f"{folder}/a.feds", "-o", f"{folder}/a.png"],
    ["decode", f"{folder}/a.feds", "-o", f"{folder}/small.png", "--size", "64"],
    ["verify", f"{folder}/a.feds"], ["info", f"{folder}/a.feds"], ["models"],
):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, (words, result.output, result.exception)
for words in (["rounding", f"{folder}/a.safetensors", picture], ["models", "--all"]):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert result.stderr == "feds: this needs torch, which is not installed: pip install 'fedscodec[torch]'\\n"
"""


def test_a_network_can_be_sent_to_another_process():
    model, picture = load_model(str(NETWORKS / "mini-light-student.safetensors"), "cpu", "onnx"), make_picture("waves")
    data = model.encode(picture, 3)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert (other.backend, other.quality, other.encode(picture, 3)) == ("onnx", model.quality, data)
    assert copy.copy(model).side is model.side


def test_onnx_runtime_writes_nothing_beside_and_calls_nobody(tmp_path):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ORT_", "XDG_"))}
    words = [sys.executable, "-m", "fedscodec", "encode", str(ASTRONAUT), "-o", os.devnull, "--force", "-q"]
    environment |= {"HOME": str(tmp_path), "FEDS_BACKEND": "onnx"}
    subprocess.run([*words, "--model", str(NETWORKS / "mini-light-student.safetensors")], env=environment, check=True)
    assert list(tmp_path.rglob("*")) == []  # not a device id either


def test_nothing_that_people_do_with_pictures_loads_torch(tmp_path):
    environment = {**os.environ, "FEDS_WEIGHTS": str(NETWORKS), "FEDS_BACKEND": ""}
    words = [sys.executable, "-c", WITHOUT, str(ASTRONAUT), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (512, 512)


def test_graphs_for_elsewhere_give_what_the_network_gives(tmp_path):
    source, folder = NETWORKS / "mini-light-student.safetensors", tmp_path / "graphs"
    result = CliRunner().invoke(app, ["export", str(source), "--onnx", str(folder)])
    assert result.exit_code == 0, result.output
    names = {"g_a", "h_a", "g_s", "h_s", *(f"net{i}" for i in range(6))}
    assert {path.name for path in folder.iterdir()} == {*(f"{name}.onnx" for name in names), "tables.npz", "README.md"}
    words = (folder / "README.md").read_text()
    assert weights_of("mini-light-student").fingerprint.hex() in words
    assert words.count("(0, 0); (1, 1); (0, 1); (1, 0)") == 1  # the first turn
    inputs = {one.name: one.shape for one in onnxruntime.InferenceSession(folder / "g_a.onnx").get_inputs()}
    assert inputs == {"picture": ["height", "width", 3], "quality": [1]}
    again = CliRunner().invoke(app, ["export", str(source), "--onnx", str(folder)])
    assert (again.exit_code, "exists" in again.stderr) == (1, True)


def test_graphs_that_give_something_else_are_noticed():
    weights = weights_of("mini-light-student")
    files = onnx_files(weights)
    check(weights, files)
    bias = weights.side["nets.3.last.bias"] + 2**12
    other = onnx_files(replace(weights, side=weights.side | {"nets.3.last.bias": bias}))
    with pytest.raises(FedsError, match="the exported graphs give other symbols"):
        check(weights, files | {"net3": other["net3"]})
    brighter = replace(weights, floats=weights.floats | {"g_s.last.bias": weights.floats["g_s.last.bias"] + 0.02})
    with pytest.raises(FedsError, match="more than one level"):
        check(weights, files | {"g_s": onnx_files(brighter)["g_s"]})


def test_what_has_no_graphs_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["export", str(NETWORKS / "mini-teacher.safetensors"), "--onnx", str(tmp_path)])
    assert (result.exit_code, "cannot be exported to ONNX" in result.stderr) == (1, True)
    assert CliRunner().invoke(app, ["export", str(NETWORKS / "mini-teacher.safetensors")]).exit_code == 2


def test_what_torch_refined_is_shown_by_onnx():
    """`--effort --measure`: the latents come from torch, the picture from ONNX Runtime."""
    picture = read_picture(ASTRONAUT)
    small = Picture(picture.pixels[:64, :64], picture.grey)
    encoded = encode_picture(small, student("onnx"), Encoding(quality=4.0, effort=1))
    shown = reconstruct(encoded, student("onnx"))
    decoded = decode_file(unpack(encoded.data), student("onnx")).picture
    assert np.abs(shown.pixels.astype(int) - decoded.pixels).max() <= 1
