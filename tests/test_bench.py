"""`feds bench`: real files are measured, side by side with peers, kept whatever happens, and taken up again."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fedscodec.bench import coders, datasets, keeping, peers, run
from fedscodec.bench.coders import FedsCoder, MissingPeerError
from fedscodec.bench.datasets import Pictures, pictures_in
from fedscodec.bench.pace import Pace, in_words
from fedscodec.bench.results import Codec, decoded_path, read_results
from fedscodec.bench.run import Job
from fedscodec.bench.session import Session, our_coders
from fedscodec.bench.zoo import ZooCoder
from fedscodec.cli import app
from fedscodec.codec import model as loading
from fedscodec.codec.encoding import encode_picture
from fedscodec.codec.settings import Encoding
from fedscodec.commands.bench_progress import shortened
from fedscodec.errors import FedsError, OutputError
from fedscodec.images import Picture, read_picture
from fedscodec.metrics.decibels import of_ms_ssim
from fedscodec.metrics.ms_ssim import ms_ssim
from fedscodec.metrics.psnr import psnr
from fedscodec.reports import bench_report
from fedscodec.version import __version__

ENCODE = {"analysis", "hyper analysis", "entropy nets", "coder"}
DECODE = {"entropy nets", "coder", "synthesis"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory, picture):
    """A folder with two small pictures, one of them with an ICC profile that no codec is to spend bytes on."""
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(picture(width=64, height=48).pixels).save(folder / "b.png", icc_profile=bytes(16) + b"RGB " * 99)
    Image.fromarray(picture(width=30, height=50, seed=1).pixels).save(folder / "a.PNG")
    return folder


@pytest.fixture(autouse=True)
def _metrics_of_every_machine(monkeypatch):
    """Whatever is installed here: rows have three metrics, and nothing is told to be missing."""
    monkeypatch.setattr(run, "metrics_at_hand", lambda: (["psnr", "ms_ssim", "ssimulacra2"], {}))


@pytest.fixture
def session(photos, codec):
    """The random network at two qualities and JPEG at one, on both pictures; nothing is kept."""
    others, absent = peers.opened(["jpeg"], 1)
    assert absent == {}
    both = {**our_coders([codec], [2.0, 6.5]), "jpeg": replace(others["jpeg"], settings=(50,))}
    return Session(Pictures("photos", pictures_in([photos])), both, run.where(codec))


def finish(session, until=None):
    """Measure what is left, or only until that many jobs are done, as if Ctrl-C were pressed then."""

    def show(done):
        if done == until:
            raise KeyboardInterrupt

    session.measure(session.jobs(), show, pytest.fail)


def test_missing_metrics_are_reported_before_anything_is_coded(photos, monkeypatch):
    how = "Butteraugli needs butteraugli_main of libjxl on the PATH: apt install libjxl-devtools"
    monkeypatch.setattr(run, "metrics_at_hand", lambda: (["psnr"], {"butteraugli": how}))
    told = feds("bench", photos, "--model", "tiny", "--quality", 4, "--device", "cpu").stderr
    assert told.splitlines()[0] == f"not measured: {how}"


def test_a_cut_picture_is_left_out_by_name(photos, tmp_path):
    folder = tmp_path / "some"
    folder.mkdir()
    for path in photos.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    Image.open(photos / "b.png").convert("RGB").save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:400])
    (folder / "none.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    for quick in ([], ["--quick"]):
        given = ["--model", "tiny", "--quality", 4, "--device", "cpu", "--peers", "none", *quick]
        result = feds("bench", "--dataset", folder, *given, "-o", out, "--force")
        assert result.exit_code == 0, result.stderr
        assert [line.split(" (")[0] for line in result.stderr.splitlines()[:2]] == [
            "left out: cut.jpg", "left out: none.png",
        ]  # fmt: skip
        results = read_results(out)
        assert results.dataset.pictures == 2 and list(results.dataset.left_out) == ["cut.jpg", "none.png"]
    (folder / "a.PNG").unlink()
    (folder / "b.png").unlink()
    nothing = feds("bench", folder, "--model", "tiny", "--device", "cpu")
    assert nothing.exit_code == 1 and nothing.stderr.startswith("feds: some: no picture here can be read: ")


def test_the_drawn_dataset_is_printed_picture_by_picture(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    some = {
        "flat": np.full((16, 24, 3), 90, np.uint8),
        "lines": np.eye(16, 24, dtype=np.uint8)[..., None] * [255, 0, 0],
    }
    monkeypatch.setattr(datasets.graphics, "pictures", lambda: {k: v.astype(np.uint8) for k, v in some.items()})
    result = feds("bench", "--dataset", "graphics", "--model", "tiny", "--quality", 4, "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert "worst error" in result.stdout
    assert re.search(r"flat\.png +q4", result.stdout) and re.search(r"lines\.png +q4", result.stdout)


# ── What is measured ──────────────────────────────────────────────────────────────────────────────────────


def test_a_row_for_every_picture_codec_and_setting(session):
    finish(session)
    assert sorted(run.key_of(row) for row in session.rows) == [
        ("jpeg", "a.PNG", 50), ("jpeg", "b.png", 50), ("tiny", "a.PNG", 2.0), ("tiny", "a.PNG", 6.5),
        ("tiny", "b.png", 2.0), ("tiny", "b.png", 6.5),
    ]  # fmt: skip
    assert [row.picture for row in session.rows] == ["a.PNG"] * 3 + ["b.png"] * 3
    assert session.jobs() == []


def test_figures_are_those_of_real_files_of_the_pixels_alone(session, photos, codec):
    finish(session)
    for row in session.rows:
        pixels = read_picture(photos / row.picture).pixels
        if row.codec == "tiny":
            encoded = encode_picture(Picture(pixels), codec, Encoding(quality=row.setting, count_bits=True))
            assert (row.bytes, row.estimated_bits) == (len(encoded.data), round(encoded.bits, 1))
            decoded = codec.decode(encoded.data).pixels
            assert (row.encode.keys(), row.decode.keys()) == (ENCODE, DECODE)
            assert row.encode["analysis"] > 0 < row.decode["synthesis"]
        else:
            coder = session.coders["jpeg"]
            data = coder.encode(Picture(pixels), 50).result
            assert (row.bytes, row.estimated_bits, data[:2]) == (len(data), None, b"\xff\xd8")
            decoded = coder.decode(data).result
        assert row.bpp == 8 * row.bytes / (row.width * row.height)
        assert row.quality["psnr"] == pytest.approx(psnr(pixels, decoded), abs=1e-6)
        assert row.quality["ms_ssim"] == pytest.approx(ms_ssim(pixels, decoded), abs=1e-6)
        assert row.encode_seconds == pytest.approx(sum(row.encode.values()), abs=1e-4) and row.encode_seconds > 0
        assert row.decode_seconds == pytest.approx(sum(row.decode.values()), abs=1e-4) and row.decode_seconds > 0


def test_symbols_that_differ_end_the_measurement(photos, codec, monkeypatch):
    decode_file = coders.decode_file

    def wrong(file, model):
        decoded = decode_file(file, model)
        decoded.symbols[1] = decoded.symbols[1] + 1
        return decoded

    monkeypatch.setattr(coders, "decode_file", wrong)
    ours = {"tiny": FedsCoder(codec, [4.0])}
    with pytest.raises(FedsError) as caught:
        list(run.measure(run.plan([photos / "b.png"], ours), ours, pytest.fail))
    expected = f"{photos / 'b.png'}: tiny at quality 4: the decoder read other symbols than the encoder wrote"
    assert str(caught.value) == expected


def test_a_quality_that_the_network_lacks_is_an_error(codec):
    with pytest.raises(FedsError, match="^quality must lie between 1 and 7 for tiny, found 8$"):
        our_coders([codec], [8.0])


def test_our_settings_are_all_whole_qualities_and_three_for_a_quick_look(codec):
    assert our_coders([codec], [])["tiny"].settings == [1, 2, 3, 4, 5, 6, 7]
    assert our_coders([codec], [5.0, 3.0, 3.0, 3.0004])["tiny"].settings == [3.0, 5.0]  # a file has thousandths
    assert our_coders([codec], [], quick=True)["tiny"].settings == [1, 4, 7]
    with pytest.raises(FedsError, match="^tiny: expected networks with different names, found this name twice$"):
        our_coders([codec, codec], [])


def test_every_effort_is_a_separate_codec(codec, photos):
    ours = our_coders([codec], [4.0], [2, 1])
    assert {key: coder.codec.title for key, coder in ours.items()} == {
        "tiny": "feds tiny",
        "tiny-effort1": "feds tiny, effort 1",
        "tiny-effort2": "feds tiny, effort 2",
    }
    seconds = {key: coder.encode(read_picture(photos / "b.png"), 4.0).seconds for key, coder in ours.items()}
    assert {key for key in ours if "refinement" in seconds[key]} == {"tiny-effort1", "tiny-effort2"}


def test_where_it_was_measured(codec):
    here = run.where(codec)
    assert (here.feds, here.torch, here.device, here.precision) == (__version__, torch.__version__, "cpu", "float32")
    assert here.threads == torch.get_num_threads()


def test_our_codec_says_what_it_is(session, codec):
    ours = session.codecs["tiny"]
    assert (ours.kind, ours.colour, ours.fingerprint) == ("feds", "RGB", codec.fingerprint.hex())
    assert (ours.title, ours.version) == ("feds tiny", __version__)
    assert (ours.parameters or 0) > 1000
    assert (ours.kmacs_per_pixel or 0) > 0


def test_jobs_are_interleaved_in_an_order_that_is_always_the_same(session):
    jobs = session.jobs()
    assert jobs == session.jobs()
    three = jobs[:3]
    plain = [Job(three[0].path, *job) for job in (("tiny", 2.0), ("tiny", 6.5), ("jpeg", 50))]
    random.Random(0).shuffle(plain)
    assert three == plain
    assert len({job.path for job in three}) == 1


class Failing:
    """A peer that fails at every picture."""

    codec = Codec("Failing", "peer", "1", "RGB")
    settings = (3,)

    def encode(self, picture, setting):
        raise ValueError("no such picture")


def test_a_peer_that_fails_is_reported_and_skipped(photos):
    told = []
    failing = {"failing": Failing()}
    run.warm_up(failing, photos / "b.png")
    jobs = run.plan([photos / "b.png"], failing)
    assert list(run.measure(jobs, failing, told.append)) == [None]
    assert told == [f"{photos / 'b.png'}: failing at quality 3: no such picture"]


def test_a_quick_look_takes_pictures_from_all_over(tmp_path, picture, monkeypatch):
    for number in range(8):
        Image.fromarray(picture("constant", 40, 30).pixels).save(tmp_path / f"{number}.png")
    paths = pictures_in([tmp_path])
    assert [path.stem for path in run.quick_choice(paths)] == ["0", "2", "4", "6"]
    monkeypatch.setattr(run, "QUICK_PIXELS", 2 * 40 * 30)
    assert [path.stem for path in run.quick_choice(paths)] == ["2", "6"]
    monkeypatch.setattr(run, "QUICK_PIXELS", 1)
    assert [path.stem for path in run.quick_choice(paths)] == ["2"]


# ── What is kept ──────────────────────────────────────────────────────────────────────────────────────────


def test_measurements_before_ctrl_c_are_saved_and_continued(session, tmp_path):
    session.folder = tmp_path
    with pytest.raises(KeyboardInterrupt):
        finish(session, until=4)
    earlier = keeping.prepare(tmp_path, force=False, resume=True)
    assert earlier is not None
    assert sorted(map(run.key_of, earlier.rows)) == sorted(map(run.key_of, session.rows))
    assert len(earlier.rows) == 4
    again = Session(session.pictures, session.coders, session.here, tmp_path)
    again.take_up(earlier)
    assert len(again.jobs()) == 2
    finish(again)
    kept = read_results(tmp_path)
    assert all(row in kept.rows for row in earlier.rows)
    assert [run.key_of(row) for row in kept.rows] == [
        ("tiny", "a.PNG", 2.0), ("tiny", "a.PNG", 6.5), ("tiny", "b.png", 2.0), ("tiny", "b.png", 6.5),
        ("jpeg", "a.PNG", 50), ("jpeg", "b.png", 50),
    ]  # fmt: skip


def test_kept_pictures_of_a_replaced_one_go(tmp_path):
    kept = [decoded_path(tmp_path, "tiny", setting, name) for setting in (None, 2.0) for name in ("[a].png", "b.png")]
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    keeping.drop_pictures(tmp_path, {"[a].png"})
    assert [path.exists() for path in kept] == [False, True, False, True]


def test_a_picture_that_was_replaced_is_measured_again(session, tmp_path):
    finish(session)
    jpeg = [row for row in session.rows if row.codec == "jpeg"]
    session.matched = [replace(row, setting=7.0) for row in jpeg]
    again = Session(session.pictures, session.coders, session.here)
    again.take_up(session.results())
    assert (again.jobs(), again.matched) == ([], session.matched)
    folder = tmp_path / "others"
    folder.mkdir()
    for path in session.pictures.paths:
        (folder / path.name).write_bytes(path.read_bytes())
    with Image.open(folder / "b.png") as image:
        image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(folder / "b.png")
    again = Session(Pictures("photos", pictures_in([folder])), session.coders, session.here)
    again.take_up(session.results())
    assert {(job.codec, job.path.name) for job in again.jobs()} == {("tiny", "b.png"), ("jpeg", "b.png")}
    assert [row.picture for row in again.matched] == ["a.PNG"]


def test_changed_weights_or_options_are_measured_again_and_other_codecs_stay(session, tmp_path):
    finish(session)
    earlier = session.results()
    jpeg = replace(session.coders["jpeg"], codec=replace(session.coders["jpeg"].codec, options="another"))
    again = Session(session.pictures, {"jpeg": jpeg}, session.here)
    again.take_up(earlier)
    assert {row.codec for row in again.rows} == {"tiny"}
    assert [(job.codec, job.path.name) for job in again.jobs()] == [("jpeg", "a.PNG"), ("jpeg", "b.png")]
    assert again.codecs["tiny"] == earlier.codecs["tiny"]


def test_rows_without_a_new_metric_stay_if_their_codec_is_not_measured_again(session):
    finish(session)
    session.matched = [replace(row, setting=7.0) for row in session.rows if row.codec == "jpeg"]
    again = Session(session.pictures, {"tiny": session.coders["tiny"]}, session.here, metrics=["psnr", "new"])
    again.take_up(session.results())
    assert {row.codec for row in again.rows} == {"jpeg"}
    assert again.matched == session.matched
    assert {job.codec for job in again.jobs()} == {"tiny"}


def test_the_zoo_is_not_asked_for_a_network_whose_weights_would_be_downloaded(session, monkeypatch):
    finish(session)
    path = session.pictures.paths[0]
    row = next(row for row in session.rows if row.codec == "jpeg" and row.picture == path.name)
    session.rows = [replace(row, codec="zoo", setting=float(q), bytes=size) for q, size in ((2, 20_000), (5, 60_000))]
    session.coders["zoo"] = ZooCoder(session.coders["jpeg"].codec, (2, 5), "bmshj2018-hyperprior")
    session.codecs["zoo"] = session.coders["zoo"].codec
    monkeypatch.setattr(run, "measure", lambda *_: pytest.fail("a network was loaded"))
    session._match(path, "zoo", 40_000, print, print)
    assert session.matched == []
    session.coders["zoo"] = ZooCoder(session.coders["jpeg"].codec, (2, 4, 5), "bmshj2018-hyperprior")
    monkeypatch.setattr(run, "measure", lambda jobs, *_: [SimpleNamespace(row=replace(row, setting=jobs[0].setting))])
    session._match(path, "zoo", 40_000, lambda sentence: None, print)
    assert [found.setting for found in session.matched][:1] == [4.0]


def test_another_machine_or_other_pictures_are_not_mixed_in(session):
    finish(session, until=None)
    earlier = session.results()
    slower = Session(session.pictures, session.coders, replace(session.here, threads=session.here.threads + 7))
    with pytest.raises(FedsError, match=r"^measured with threads \d+, this run has \d+; use --force to measure"):
        slower.take_up(earlier)
    others = Session(Pictures("kodak", session.pictures.paths), session.coders, session.here)
    with pytest.raises(FedsError, match="^expected results of kodak, found those of photos$"):
        others.take_up(earlier)


def test_pictures_are_kept_without_loss_for_the_viewer(session, photos, tmp_path):
    session.folder, session.viewer = tmp_path, 1
    finish(session)
    kept = sorted(path.relative_to(tmp_path / "decoded").as_posix() for path in tmp_path.glob("decoded/**/*.webp"))
    assert kept == ["jpeg/50/b.png.webp", "original/b.png.webp", "tiny/2/b.png.webp", "tiny/6.5/b.png.webp"]
    original = read_picture(photos / "b.png").pixels
    assert np.array_equal(read_picture(tmp_path / "decoded/original/b.png.webp").pixels, original)
    row = next(row for row in session.rows if run.key_of(row) == ("jpeg", "b.png", 50))
    assert psnr(original, read_picture(tmp_path / "decoded/jpeg/50/b.png.webp").pixels) == pytest.approx(
        row.quality["psnr"], abs=1e-6
    )


def test_the_viewer_gets_pictures_from_all_over():
    names = [f"{number}.png" for number in range(24)]
    assert keeping.chosen_for_viewer(names, 4) == {"3.png", "9.png", "15.png", "21.png"}
    assert keeping.chosen_for_viewer(["a.png", "a.jpg"], 4) == {"a.jpg", "a.png"}
    assert keeping.chosen_for_viewer(names, 0) == set()


def test_curves_are_written_as_compressai_reads_them(session, tmp_path):
    session.folder = tmp_path
    finish(session)
    document = json.loads((tmp_path / "compressai" / "tiny.json").read_text())
    means = [s for s in session.results().summaries if s.codec == "tiny"]
    assert document["name"] == "feds tiny"
    assert document["results"]["bpp"] == [s.bpp for s in means]
    assert document["results"]["psnr-rgb"] == [s.quality["psnr"] for s in means]
    assert document["results"]["ms-ssim-rgb"] == [s.quality["ms_ssim"] for s in means]
    assert means[0].bpp < means[1].bpp


def test_results_that_are_there_stay_unless_asked(session, tmp_path):
    assert keeping.prepare(tmp_path / "new", force=False, resume=True) is None
    (tmp_path / "decoded").mkdir()
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(OutputError, match=r"results\.json: already exists; use --resume to continue it or --force"):
        keeping.prepare(tmp_path, force=False, resume=False)
    assert keeping.prepare(tmp_path, force=True, resume=False) is None
    assert not (tmp_path / "decoded").exists()
    with pytest.raises(OutputError, match=r"results\.json: is a file, expected a folder for the results$"):
        keeping.prepare(tmp_path / "results.json", force=True, resume=False)


# ── Time left ─────────────────────────────────────────────────────────────────────────────────────────────


def test_time_left_knows_slow_codecs_from_fast_ones(tmp_path):
    slow, fast = Job(tmp_path, "slow", 1), Job(tmp_path, "fast", 1)
    pace = Pace()
    assert pace.left([slow]) is None
    pace.add(slow, 8.0)
    pace.add(slow, 12.0)
    pace.add(fast, 1.0)
    assert pace.left([slow, fast, fast]) == 12.0
    assert pace.left([Job(tmp_path, "slow", 2)]) == 10.0
    assert pace.left([Job(tmp_path, "new", 1)]) == 5.5
    assert pace.left([]) == 0


def test_time_left_in_words():
    words = [in_words(s) for s in (None, 0.0, 14.0, 84.0, 100.0, 3600.0)]
    assert words == ["", "0 s left", "20 s left", "90 s left", "2 min left", "60 min left"]


# ── The command ───────────────────────────────────────────────────────────────────────────────────────────


def feds(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="feds")


def test_the_command_prints_tables_and_keeps_results(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_report, "write", lambda folder: [folder / "report.html"])
    out = tmp_path / "results"
    fixed = ["--model", "tiny", "--device", "cpu", "--quality", 2, "--quality", 6.5, "-o", out]
    result = feds("bench", photos, "--peers", "jpeg", *fixed)
    assert result.exit_code == 0, result.output
    results = read_results(out)
    model = loading.load_model("tiny", "cpu")
    sizes = {run.key_of(row): row.bytes for row in results.rows}
    pixels = read_picture(photos / "b.png").pixels
    assert sizes["tiny", "b.png", 6.5] == len(model.encode(Picture(pixels), 6.5))
    assert {row.setting for row in results.rows if row.codec == "jpeg"} == set(peers.PEERS["jpeg"].settings)
    assert result.stderr.splitlines()[0].startswith("a.PNG: 7 of 14 measurements, ")
    assert result.stderr.splitlines()[1:] == ["b.png: 14 of 14 measurements", f"{out / 'report.html'}"]
    table = [" ".join(line.split()) for line in result.stdout.splitlines()]
    best = next(s for s in results.summaries if (s.codec, s.setting) == ("tiny", 6.5))
    figures = f"q6.5 {best.bpp:.4f} {best.quality['psnr']:.2f} {of_ms_ssim(best.quality['ms_ssim']):.2f} "
    assert any(line.startswith(figures) for line in table)
    assert any(line.startswith("JPEG q5 ") for line in table)
    assert any(
        line.startswith(f"feds tiny q6.5: {best.bytes_over_estimate:.4f} bytes / estimate; encode: analysis ")
        for line in table
    )
    assert any("YCbCr 4:2:0" in line for line in table)
    assert max(len(line.rstrip()) for line in result.stdout.splitlines()[1:13]) <= 80
    again = feds("bench", photos, "--peers", "jpeg", *fixed, "--resume")
    assert (again.exit_code, again.stderr, again.stdout) == (0, f"{out / 'report.html'}\n", result.stdout)
    refused = feds("bench", photos, *fixed)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert (
        refused.stderr
        == f"feds: {out / 'results.json'}: already exists; use --resume to continue it or --force to start again\n"
    )


def test_ctrl_c_shows_the_results_and_says_how_to_continue(photos, tmp_path, monkeypatch):
    def stopping(jobs, *given):
        yield from list(measure(jobs[:1], *given))
        raise KeyboardInterrupt

    measure = run.measure
    monkeypatch.setattr(run, "measure", stopping)
    out = tmp_path / "results"
    result = feds("bench", photos, "--model", "tiny", "--quality", 4, "--device", "cpu", "-o", out)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == f"feds: stopped; 1 measurement saved in {out}, --resume continues"
    assert "q4" in result.stdout
    assert len(read_results(out).rows) == 1
    nothing = feds("bench", photos, "--model", "tiny", "--quality", 4, "--device", "cpu")
    assert nothing.stderr.splitlines()[-1] == "feds: stopped; 1 measurement not saved without --output"


def test_a_peer_that_is_not_there_is_left_out_in_one_line(photos, monkeypatch):
    def missing(settings, threads):
        raise MissingPeerError("pip install it")

    monkeypatch.setattr(peers, "PEERS", dict.fromkeys(("one", "two"), peers.Peer((1,), (1,), missing)))
    result = feds("bench", photos, "--peers", "all", "--model", "tiny", "--quality", 4, "--device", "cpu")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[0] == "left out: one, two (pip install it)"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "expected either pictures (or folders of them) or --dataset, found neither"),
        (["a.png", "--dataset", "kodak"], "expected either pictures (or folders of them) or --dataset, found both"),
        (["a.png", "--resume"], "--resume needs the folder to continue: give it with --output"),
    ],
)
def test_wrong_usage(arguments, words):
    result = feds("bench", *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_wrong_arguments_are_reported_before_a_network_is_loaded(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "load_model", None)
    result = feds("bench", tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"feds: {tmp_path}: expected pictures that Pillow reads, found none")
    result = feds("bench", photos, "--peers", "gif")
    assert result.stderr.startswith("feds: gif: no such peer; there are jpeg, jpegli, jpeg2000, webp, avif, ")


def test_peers_are_matched_with_our_bytes_for_the_viewer(photos, codec, tmp_path):
    """Ours has 641 or 657 bytes, JPEG at 1 and at 95 around 555 and 1,400 or more: between them lies one near it."""
    others, _ = peers.opened(["jpeg"], 1)
    both = {**our_coders([codec], [7.0]), "jpeg": replace(others["jpeg"], settings=(1, 95))}
    session = Session(Pictures("photos", pictures_in([photos])), both, run.where(codec), tmp_path, viewer=1)
    finish(session)
    told = []
    session.match(told.append, pytest.fail)
    kept = read_results(tmp_path)
    assert len(kept.rows) == 6 and kept.matched == session.matched
    assert len(told) == len(kept.matched) > 0
    (name,) = {row.picture for row in kept.matched}
    assert all(row.codec == "jpeg" and 1 < row.setting < 95 for row in kept.matched)
    assert all(decoded_path(tmp_path, "jpeg", row.setting, name).is_file() for row in kept.matched)
    own = next(row for row in kept.rows if (row.codec, row.picture) == ("tiny", name))
    assert min(abs(row.bytes - own.bytes) for row in kept.matched) < 60
    again = Session(session.pictures, both, session.here, tmp_path, viewer=1)
    again.take_up(kept)
    assert again.matched == kept.matched


def test_a_long_name_leaves_room_for_the_bar():
    assert shortened("kodim01.png") == "kodim01.png"
    assert shortened("x" * 24) == "x" * 24
    assert shortened("2024-05-17 Lake in the morning 0031.png") == "2024-05-17 …ing 0031.png"
