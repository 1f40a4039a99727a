from dataclasses import replace

import numpy as np
from bench_examples import HEIGHT, WIDTH, made_up
from PIL import Image

from fedscodec.bench.results import decoded_path, to_json
from fedscodec.reports import scenes


def put_pictures(folder, results, pictures=("kodim01.png",)):
    """What a bench leaves for the viewer: flat pictures, and originals that are busy in one corner."""
    for name in pictures:
        busy = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        busy[40:, 70:] = np.random.default_rng(0).integers(0, 256, (HEIGHT - 40, WIDTH - 70, 3))
        places = {decoded_path(folder, "original", None, name): busy}
        for row in results.rows:
            if row.picture == name:
                grey = np.full((HEIGHT, WIDTH, 3), int(10 * row.setting % 256), np.uint8)
                places[decoded_path(folder, row.codec, row.setting, name)] = grey
        for path, pixels in places.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, "WEBP", lossless=True)
    (folder / "results.json").write_text(to_json(results))


def test_peers_are_shown_at_nearly_our_bytes(tmp_path):
    results = made_up()
    put_pictures(tmp_path, results)
    views = scenes.views(results, tmp_path)
    assert [view.scene.name for view in views] == [
        "kodim01.png, quality 1, 96 bytes", "kodim01.png, quality 3, 384 bytes", "kodim01.png, quality 5, 1,536 bytes",
    ]  # fmt: skip
    scene = views[1].scene
    # JPEG has 144, 288, 576, 1152, 2304 bytes, WebP 120, 240, 480, 960, 1920.
    assert [shot.label for shot in scene.shots] == ["original", "feds student, quality 3", "JPEG, quality 40",
                                                    "WebP, quality 60"]  # fmt: skip
    assert scene.shots[2].facts == {
        "bytes": "288", "PSNR": "31.00 dB", "MS-SSIM": "0.9718", "SSIMULACRA2": "62.00", "Butteraugli": "1.935",
        "bpp": "0.375", "bytes against ours": "−25.0 %",
    }  # fmt: skip
    assert (scene.left, scene.right, scene.width, scene.height) == (1, 2, WIDTH, HEIGHT)
    assert all(shot.source.startswith("data:image/webp;base64,") for shot in scene.shots)


def test_crops_begin_where_most_happens(tmp_path, monkeypatch):
    monkeypatch.setattr(scenes, "CROP", 24)
    results = made_up()
    put_pictures(tmp_path, results)
    view = scenes.views(results, tmp_path)[0]
    assert 70 <= view.left <= WIDTH - 24 and view.top == HEIGHT - 24 - 1


def test_a_crop_of_a_single_row_or_column(tmp_path):
    for size in ((1, 1), (1, 30), (30, 1)):
        Image.new("RGB", size).save(tmp_path / "thin.png")
        assert scenes._busiest(tmp_path / "thin.png") == (0, 0)


def test_the_budget_is_for_the_middle_first(tmp_path):
    results = made_up()
    put_pictures(tmp_path, results, ("kodim01.png", "kodim02.png"))
    size = decoded_path(tmp_path, "original", None, "kodim01.png").stat().st_size
    names = [view.scene.name for view in scenes.views(results, tmp_path, budget=int(2.5 * size))]
    assert names == ["kodim01.png, quality 3, 384 bytes", "kodim02.png, quality 3, 384 bytes"]
    assert scenes.views(results, tmp_path, budget=10) == []


def test_without_pictures_or_without_ours_there_is_nothing_to_see(tmp_path):
    results = made_up()
    assert scenes.views(results, tmp_path) == []
    put_pictures(tmp_path, results)
    peers = {key: codec for key, codec in results.codecs.items() if codec.kind == "peer"}
    assert scenes.views(replace(results, codecs=peers), tmp_path) == []


def test_matched_rows_are_shown_where_they_come_nearer(tmp_path):
    results = made_up()
    own = next(r for r in results.rows if (r.codec, r.picture, r.setting) == ("student", "kodim01.png", 3))
    matched = replace(own, codec="jpeg", setting=47.0, bytes=own.bytes + 4)
    put_pictures(tmp_path, replace(results, rows=[*results.rows, matched]))
    views = scenes.views(replace(results, matched=[matched]), tmp_path)
    assert [view.scene.shots[2].label for view in views] == ["JPEG, quality 20", "JPEG, quality 47", "JPEG, quality 80"]
    assert views[1].scene.shots[2].facts["bytes against ours"] == "+1.0 %"
