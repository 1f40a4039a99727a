"""Effort: files that are better by the bytes and pixels that count, and that every decoder reads."""

from __future__ import annotations

import os
import signal
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fedscodec
from fedscodec.batch.encoder import Encoder
from fedscodec.batch.pipeline import Batch
from fedscodec.batch.plan import Task
from fedscodec.codec import single
from fedscodec.codec.decoding import decode_file
from fedscodec.codec.effort import refining
from fedscodec.codec.effort.annealing import Annealing
from fedscodec.codec.effort.costs import FORBIDDEN, Costs, costs_of
from fedscodec.codec.effort.judging import cost, distortion
from fedscodec.codec.effort.levels import STEPS
from fedscodec.codec.effort.refining import Latents, refine
from fedscodec.codec.encoding import encode_picture, gained
from fedscodec.codec.latents import hyper_analyse
from fedscodec.codec.model import Model, load_model
from fedscodec.codec.outcomes import Analysed
from fedscodec.codec.settings import Encoding
from fedscodec.codec.targets import Target, encode_to_target
from fedscodec.entropy.mixtures import mixture_tables
from fedscodec.entropy.streams import StreamWriter
from fedscodec.entropy.tables import gaussian_tables
from fedscodec.errors import FedsError
from fedscodec.fileformat import unpack
from fedscodec.images import Picture, read_picture
from fedscodec.metrics.ms_ssim import ms_ssim
from fedscodec.networks.tiles import Box, Tile
from fedscodec.networks.walk import walk
from fedscodec.networks.weights import Weights, read_weights, write_weights

HERE = Path(__file__).parent
NETWORKS = HERE / "conformance" / "networks"


@pytest.fixture(scope="module")
def photo() -> Picture:
    return Picture(np.ascontiguousarray(read_picture(HERE / "pictures" / "astronaut.png").pixels[100:196, 120:250]))


@pytest.fixture(scope="module")
def small():
    """The toy network that ships."""
    return load_model("tiny-q3", "cpu")


def encoded(picture, model, effort, **how):
    return encode_picture(picture, model, Encoding(effort=effort, **how))


def read(data, model):
    """The symbols that an ordinary decoder finds."""
    return decode_file(unpack(data, max_pixels=None), model).symbols


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# ── Files ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("quality", "least"), [(1, 0.07), (3.5, 0.08), (7, 0.08)])
def test_a_refined_file_is_cheaper_and_decodes_to_what_was_coded(small, photo, quality, least):
    plain, refined = encoded(photo, small, 0, quality=quality), encoded(photo, small, 9, quality=quality)
    assert same(read(refined.data, small), refined.symbols)
    assert not same(plain.symbols, refined.symbols)
    saved = cost(plain, photo, small) - cost(refined, photo, small)
    assert saved > least * 8 * len(plain.data)  # in bits of the plain file, at equal R + λ·D
    assert set(refined.seconds) == {*plain.seconds, "refinement"}


@pytest.mark.parametrize("kind", ["waves", "noise", "constant", "checkerboard"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 70), (65, 64)])
def test_no_file_becomes_worse(codec, picture, kind, width, height):
    original = picture(kind, width=width, height=height)
    plain, refined = (encoded(original, codec, effort) for effort in (0, 3))
    assert cost(refined, original, codec) <= cost(plain, original, codec)
    assert same(read(refined.data, codec), refined.symbols)


@pytest.mark.parametrize(
    "name",
    [
        "mini-skip",
        "mini-teacher",
        "mini-odd",
        "mini-shapes",
        "mini-light-student",
        "mini-light-teacher",
        "mini-light-corners",
    ],
)
def test_every_kind_of_network_can_refine(photo, name):
    model = Model(read_weights(NETWORKS / f"{name}.safetensors"), name=name, quality=1, device="cpu")
    corner = Picture(np.ascontiguousarray(photo.pixels[:64, :64]))
    plain, refined = encoded(corner, model, 0), encoded(corner, model, 4)
    assert cost(refined, corner, model) < cost(plain, corner, model)
    assert same(read(refined.data, model), refined.symbols)


def test_grey_pictures_are_refined_as_they_will_be_shown(small, photo):
    grey = Picture(np.ascontiguousarray(photo.pixels[..., :1].repeat(3, -1)), grey=True)
    plain, refined = encoded(grey, small, 0), encoded(grey, small, 9)
    assert cost(refined, grey, small) < 0.97 * cost(plain, grey, small)


def test_ms_ssim_networks_lose_less_of_it(photo, tiny, tmp_path):
    path = tmp_path / "similar.safetensors"
    write_weights(path, tiny(metric="ms-ssim", lambdas=(2.40, 4.58)), {})
    model = Model(read_weights(path), name="similar", quality=2, device="cpu", precision=torch.float32)
    plain, refined = encoded(photo, model, 0), encoded(photo, model, 4)
    assert cost(refined, photo, model) < cost(plain, photo, model)
    shown = model.decode(plain.data)
    assert distortion(plain, photo, model) == pytest.approx(1 - ms_ssim(photo.pixels, shown.pixels), abs=1e-9)


def test_the_cost_of_a_file_is_its_streams_and_what_its_picture_lost(small, photo):
    made = encoded(photo, small, 0, quality=4)
    error = np.mean((photo.pixels.astype(float) - small.decode(made.data).pixels) ** 2)
    bits = 8 * sum(map(len, unpack(made.data).streams))
    assert distortion(made, photo, small) == pytest.approx(error)
    assert cost(made, photo, small) == pytest.approx(bits + 0.015 * error * photo.width * photo.height)


def test_the_same_again_is_the_same_file(small, photo):
    before = torch.get_rng_state()
    first = encoded(photo, small, 3)
    assert torch.equal(torch.get_rng_state(), before)
    fresh = load_model("tiny-q3", "cpu")
    torch.rand(7)
    assert encoded(photo, fresh, 3).data == first.data


def test_in_tiles_it_is_nearly_as_good(small, photo, monkeypatch):
    plain, whole = encoded(photo, small, 0), encoded(photo, small, 5)
    monkeypatch.setattr(refining, "TILE_SIDE", 1)
    monkeypatch.setattr(refining, "TILE_MARGIN", 0)
    seen, grid = [], refining._grid
    monkeypatch.setattr(refining, "_grid", lambda *of: seen.extend(grid(*of)) or seen)
    tiled = encoded(photo, small, 5)
    costs = [cost(made, photo, small) for made in (plain, tiled, whole)]
    assert len(seen) == 2
    assert costs[0] - costs[1] > 0.5 * (costs[0] - costs[2])


# ── How it is done ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def latents(small, photo) -> Latents:
    y = gained(Analysed(photo, None, {}), small, 3.0)
    return Latents(y, hyper_analyse(small, y))


def test_costs_are_those_of_the_tables():
    tables = mixture_tables(np.array([[[0.1, 0.2, 0.4, 0.2, 0.1]] * 6]), 0.2, 9.0, skip=2)
    costs = Costs(tables, torch.device("cpu"))
    symbols = torch.arange(-costs.radius, costs.radius + 1)
    for index in range(2, 6):
        found = costs.at(symbols, torch.full_like(symbols, index))
        assert [tables.bits([s], [index]) for s in symbols.tolist()] == pytest.approx(found.tolist(), rel=1e-6)
    assert costs.at(torch.tensor([-1, 0, 1]), torch.tensor([1, 1, 1])).tolist() == [FORBIDDEN, 0.0, FORBIDDEN]
    assert costs.at(torch.tensor([9999]), torch.tensor([5])) == costs.at(
        torch.tensor([costs.radius]), torch.tensor([5])
    )


def test_bits_between_symbols_and_their_slopes():
    costs = Costs(gaussian_tables(8, 0.5, 4.0), torch.device("cpu"))
    at = lambda symbol, index: float(costs.at(torch.tensor(symbol), torch.tensor(index)))  # noqa: E731
    share, index = torch.tensor(0.75, requires_grad=True), torch.tensor(3.3, requires_grad=True)
    bits = costs.between(torch.tensor(2), share, index)
    bits.backward()
    assert float(bits.detach()) == pytest.approx(0.25 * at(2, 3) + 0.75 * at(3, 3))
    assert float(share.grad) == pytest.approx(at(3, 3) - at(2, 3))
    assert float(index.grad) == pytest.approx((at(3, 4) - at(3, 2)) / 2)  # of the nearest symbol


def drawn(residuals, temperature, seed=0):
    """Symbols of an annealing for residuals [N], and their bits."""
    costs = Costs(gaussian_tables(8, 0.5, 4.0), torch.device("cpu"))
    coder = Annealing(costs, [costs], temperature, torch.Generator().manual_seed(seed))
    symbols = coder._drawn(residuals, costs, torch.full_like(residuals, 3.0))
    return symbols, coder.bits


def test_symbols_lie_between_the_integers_around_them_and_are_whole_in_the_cold():
    residuals = torch.linspace(-3, 3, 2401)
    symbols, _ = drawn(residuals, 0.2)
    assert (symbols >= residuals.floor()).all() and (symbols <= residuals.floor() + 1).all()
    cold, bits = drawn(residuals, 0.01)
    clear = (residuals - residuals.floor() - 0.5).abs() > 0.1
    assert torch.allclose(cold[clear], residuals[clear].round(), atol=1e-4)
    tables = gaussian_tables(8, 0.5, 4.0)
    whole = cold.round().long().numpy()
    assert float(bits) == pytest.approx(tables.bits(whole, np.full(len(whole), 3)), rel=0.01)


def test_a_symbol_is_the_upper_one_as_often_as_the_paper_says():
    above, temperature = 0.6, 0.5
    symbols, _ = drawn(torch.full((20_000,), 2 + above), temperature)
    of = lambda distance: np.exp(-np.arctanh(distance) / temperature)  # noqa: E731
    assert (symbols > 2.5).double().mean() == pytest.approx(of(1 - above) / (of(1 - above) + of(above)), abs=0.01)


@pytest.mark.parametrize("quality", [1.0, 4.0, 7.0])
def test_what_the_twin_promises_is_what_the_integers_write(small, photo, quality):
    y = gained(Analysed(photo, None, {}), small, quality)
    z = hyper_analyse(small, y)
    writer = StreamWriter(small.z_tables, small.y_tables, count_bits=True)
    walk(small.side, z, y.permute(0, 2, 3, 1), round(1000 * quality), writer)
    costs = costs_of(small.z_tables, y.device), [costs_of(tables, y.device) for tables in small.y_tables]
    coder = Annealing(*costs, 1e-3, torch.Generator().manual_seed(0))  # cold: whole symbols
    walk(small.twin, z.permute(0, 3, 1, 2), y, torch.tensor([quality]), coder)
    assert float(coder.bits) == pytest.approx(writer.bits, rel=0.01)


def test_what_surrounds_a_tile_stays_as_it_is(small, photo, latents, monkeypatch):
    tile = Tile(seen=Box(0, 2, 0, 3), kept=Box(0, 2, 0, 1))  # of z
    monkeypatch.setattr(refining, "_grid", lambda z, model: [tile])
    after = refine(latents, photo, small, 3.0, 4)
    changed = (after.y != latents.y).any(1)[0]
    assert changed[:, :4].any()
    assert not changed[:, 4:].any()


def test_progress_goes_from_nothing_to_all(small, photo):
    told = []
    encode_picture(photo, small, Encoding(effort=2), progress=told.append)
    assert told == sorted(told)
    assert (len(told) > STEPS[2], told[-1]) == (True, 1.0)


# ── Ends before the end ───────────────────────────────────────────────────────────────────────────────────


def test_stopped_at_once_it_is_the_plain_file(small, photo):
    made = encode_picture(photo, small, Encoding(effort=9), stopped=lambda: True)
    assert made.data == encoded(photo, small, 0).data


def test_stopped_on_the_way_it_keeps_what_it_has(small, photo):
    asked = []
    made = encode_picture(photo, small, Encoding(effort=9), stopped=lambda: len(asked) > 6 or bool(asked.append(1)))
    plain, whole = (encoded(photo, small, effort) for effort in (0, 9))
    costs = [cost(one, photo, small) for one in (whole, made, plain)]
    assert costs == sorted(costs)
    assert len(set(costs)) == 3


def test_ctrl_c_writes_the_best_result_so_far(photo, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from fedscodec.cli import app

    source, target = tmp_path / "photo.png", tmp_path / "photo.feds"
    Image.fromarray(photo.pixels).save(source)
    encode, steps = single.encode_picture, []

    def interrupted(*given, stopped, **named):
        def asked():
            steps.append(1)
            if len(steps) == 4:
                os.kill(os.getpid(), signal.SIGINT)
            return stopped()

        return encode(*given, stopped=asked, **named)

    monkeypatch.setattr(single, "encode_picture", interrupted)
    run = CliRunner().invoke(app, ["encode", str(source), "--model", "tiny", "--effort", "9", "--device", "cpu"])
    assert run.exit_code == 0
    assert "photo.png: stopped early, wrote the best result so far\n" in run.stderr
    assert len(steps) < STEPS[9] / 2
    assert fedscodec.decode(target).size == (photo.width, photo.height)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# ── Where it can be asked for ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("wrong", [-1, 10, 2.5, True])
def test_efforts_that_do_not_exist(photo, wrong):
    with pytest.raises(FedsError, match=r"^effort: expected a whole number from 0 to 9, found"):
        fedscodec.encode(photo, "tiny", effort=wrong)


def test_python_and_pillow(small, photo):
    wanted = encoded(photo, small, 2).data
    assert fedscodec.encode(photo, small, effort=2) == wanted
    stream = BytesIO()
    Image.fromarray(photo.pixels).save(stream, "FEDS", model=small, effort=2)
    assert stream.getvalue() == wanted
    fedscodec.register_feds_opener(effort=2)
    try:
        stream = BytesIO()
        Image.fromarray(photo.pixels).save(stream, "FEDS", model=small)
    finally:
        fedscodec.register_feds_opener()
    assert stream.getvalue() == wanted


@pytest.mark.parametrize("target", [Target("size", 700), Target("bpp", 0.4), Target("psnr", 23.8)])
def test_targets_hold_and_are_used_better(small, photo, target):
    limit = target.limit(photo.width * photo.height)
    plain, refined = (encode_to_target(photo, small, target, Encoding(effort=effort)) for effort in (0, 8))
    of = (lambda hit: len(hit.encoded.data)) if target.is_size else (
        lambda hit: target.error(photo, small.decode(hit.encoded.data)))  # fmt: skip
    assert of(refined) <= limit
    other = (lambda hit: distortion(hit.encoded, photo, small)) if target.is_size else (
        lambda hit: len(hit.encoded.data))  # fmt: skip
    assert other(refined) < 0.985 * other(plain)
    assert refined.value == pytest.approx(target.value_of(of(refined), photo.width * photo.height))


def test_a_target_that_is_stopped_is_the_plain_one(small, photo):
    target = Target("size", 700)
    hit = encode_to_target(photo, small, target, Encoding(effort=9), stopped=lambda: True)
    assert hit.encoded.data == encode_to_target(photo, small, target).encoded.data


def test_a_picture_in_refinement_takes_the_room_of_more_pixels(photo):
    plain, refined = (Encoder(Encoding("tiny", effort=effort)).pixels(photo) for effort in (0, 1))
    assert (plain, refined) == (96 * 130, 13 * 96 * 130)


def test_folders(small, photo, tmp_path):
    source = tmp_path / "photo.png"
    Image.fromarray(photo.pixels).save(source)
    with Batch([Task(source, tmp_path / "photo.feds")], Encoder(Encoding("tiny-q3", effort=2, device="cpu"))) as batch:
        (done,) = batch
    assert done.error is None
    assert (tmp_path / "photo.feds").read_bytes() == encoded(photo, small, 2).data


def test_a_network_keeps_one_twin(tiny_weights: Weights):
    model = Model(tiny_weights, name="tiny", quality=4.0, device="cpu")
    assert model.twin is model.twin
    assert not any(parameter.requires_grad for parameter in model.twin.parameters())
