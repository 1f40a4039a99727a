"""Made-up results, for what reads a results.json: feds at five qualities beside two peers."""

from __future__ import annotations

from fedscodec.bench.results import Codec, Dataset, Results, Row, Where, summarise

WHERE = Where("0.2", "2.14", "cpu", "bfloat16", 2, "A <CPU> & Co", "AVX512", "x86_64", "3.11", "2026-11-24T22:00:00Z")
CODECS = {
    "student": Codec("feds student", "feds", "0.2", "RGB", parameters=35_000_000, kmacs_per_pixel=450.0),
    "jpeg": Codec("JPEG", "peer", "Pillow 11", "YCbCr 4:2:0"),
    "webp": Codec("WebP", "peer", "Pillow 11", "YCbCr 4:2:0", options="method 6"),
}
WIDTH, HEIGHT = 96, 64


def row(codec: str, picture: str, setting: float, bpp: float, psnr: float) -> Row:
    size = round(bpp * WIDTH * HEIGHT / 8)
    return Row(
        codec, picture, WIDTH, HEIGHT, setting, size, 8 * size / (WIDTH * HEIGHT),
        {"psnr": psnr, "ms_ssim": 1 - 10 ** (-psnr / 20), "ssimulacra2": 2 * psnr, "butteraugli": 60 / psnr},
        0.5, 0.25, {"analysis": 0.4, "coder": 0.1}, {"synthesis": 0.25},
        8 * size - 40.0 if codec == "student" else None,
    )  # fmt: skip


def made_up(dataset: str = "mine", pictures: int = 2) -> Results:
    """PSNR rises 4 dB with each doubling of the rate; JPEG needs 1.5 and WebP 1.25 times the student's rate.

    Half of the pictures are a decibel above the mean and half a decibel below; pictures must be even.
    """
    rows = [
        row(codec, f"kodim{number:02}.png", setting, factor * 0.125 * 2**step, 26 + 4 * step - (-1) ** number)
        for codec, factor, scale in (("student", 1.0, 1), ("jpeg", 1.5, 20), ("webp", 1.25, 20))
        for number in range(1, pictures + 1)
        for step, setting in enumerate(scale * s for s in (1, 2, 3, 4, 5))
    ]
    return Results(WHERE, Dataset(dataset, pictures, pictures * WIDTH * HEIGHT), CODECS, rows, summarise(rows))
