"""Draw pictures that are not photographs from a seed: flat colours, gradients, patterns, text, charts and screens.

Training takes some as crops, and `pictures` is the fixed set that the bench measures. They have what photographs do
not: areas of one value, edges without blur, and colours in the corners of the RGB cube.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Pixels = np.ndarray  # uint8 [H, W, 3]
Colour = tuple[int, int, int]
Draw = Callable[[np.random.Generator, int, int], Pixels]

CORNERS: dict[str, Colour] = {
    "black": (0, 0, 0), "white": (255, 255, 255), "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255),
    "cyan": (0, 255, 255), "magenta": (255, 0, 255), "yellow": (255, 255, 0),
}  # fmt: skip
"""The corners of the RGB cube."""
TEXT = (
    "open save edit view file help image codec table value total error 2024 3.14 100% (a+b) The quick brown fox jumps"
    " over lazy dog if x == 0: return y Figure Page Next Cancel OK https://example.org"
)


def colour(random: np.random.Generator) -> Colour:
    """A random colour from the cube; half of them from a corner, an edge or a face."""
    values = random.integers(0, 256, 3)
    if random.random() < 0.5:
        extremes = random.random(3) < 0.75
        values = np.where(extremes, 255 * random.integers(0, 2, 3), values)
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def _two(random: np.random.Generator) -> tuple[Colour, Colour]:
    """Two colours that can be told apart."""
    first = second = colour(random)
    while sum(abs(a - b) for a, b in zip(first, second, strict=True)) < 96:
        second = colour(random)
    return first, second


def _either(first: Pixels, random: np.random.Generator) -> Pixels:
    """An image of two colours: one where `first` [H, W] holds, the other elsewhere."""
    one, other = np.array(_two(random), np.uint8)
    chosen: Pixels = np.where(first[..., None], one, other)
    return chosen


def flat(random: np.random.Generator, height: int, width: int) -> Pixels:
    """One colour."""
    return np.full((height, width, 3), colour(random), np.uint8)


def patches(random: np.random.Generator, height: int, width: int) -> Pixels:
    """A grid of flat colours."""
    side = int(random.choice([8, 16, 32, 64]))
    grid = [[colour(random) for _ in range(-(-width // side))] for _ in range(-(-height // side))]
    return np.array(grid, np.uint8).repeat(side, 0).repeat(side, 1)[:height, :width]


def gradient(random: np.random.Generator, height: int, width: int) -> Pixels:
    """A gradient from one colour to another, straight or in rings."""
    first, second = (np.array(c, float) for c in _two(random))
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    angle = random.uniform(0, 2 * math.pi)
    t = rows * math.sin(angle) + columns * math.cos(angle)
    if random.random() < 0.3:
        t = np.hypot(rows - random.random(), columns - random.random())
    t = (t - t.min()) / max(float(np.ptp(t)), 1e-9)
    mixed: Pixels = (first + t[..., None] * (second - first) + 0.5).astype(np.uint8)
    return mixed


def checkerboard(random: np.random.Generator, height: int, width: int) -> Pixels:
    """Squares of 1 to 32 pixels in two colours."""
    side = int(random.choice([1, 2, 3, 4, 8, 16, 32]))
    rows, columns = np.mgrid[:height, :width] // side
    return _either((rows + columns) % 2 == 0, random)


def stripes(random: np.random.Generator, height: int, width: int) -> Pixels:
    """Stripes of 1 to 16 pixels, across or upright."""
    side = int(random.choice([1, 2, 3, 4, 8, 16]))
    along = np.arange(height)[:, None] if random.random() < 0.5 else np.arange(width)[None]
    return _either(np.broadcast_to(along // side % 2 == 0, (height, width)), random)


def lines(random: np.random.Generator, height: int, width: int) -> Pixels:
    """Thin lines in all directions on one colour."""
    paper, ink = _two(random)
    image, pen = _canvas(height, width, paper)
    for _ in range(int(random.integers(4, 24))):
        ends = random.uniform(0, 1, 4) * (width, height, width, height)
        pen.line([float(v) for v in ends], fill=ink if random.random() < 0.7 else colour(random), width=1)
    return np.asarray(image)


def shapes(random: np.random.Generator, height: int, width: int) -> Pixels:
    """Flat rectangles, ellipses and triangles, with smooth edges."""
    image, pen = _canvas(2 * height, 2 * width, colour(random))
    for _ in range(int(random.integers(3, 16))):
        x, y = random.uniform(-0.2, 1, 2) * (2 * width, 2 * height)
        w, h = random.uniform(0.05, 0.8, 2) * (2 * width, 2 * height)
        kind, fill = random.integers(3), colour(random)
        if kind == 0:
            pen.rectangle([x, y, x + w, y + h], fill=fill)
        elif kind == 1:
            pen.ellipse([x, y, x + w, y + h], fill=fill)
        else:
            pen.polygon([(x, y + h), (x + w / 2, y), (x + w, y + h)], fill=fill)
    return np.asarray(image.resize((width, height), Image.Resampling.BOX))


def text(random: np.random.Generator, height: int, width: int) -> Pixels:
    """Lines of words in one size; half of the time black on white."""
    paper, ink = _two(random)
    if random.random() < 0.5:
        paper, ink = CORNERS["white"], CORNERS["black"]
    image, pen = _canvas(height, width, paper)
    _write(pen, random, (4, 4, width, height), ink, int(random.integers(9, 32)))
    return np.asarray(image)


def chart(random: np.random.Generator, height: int, width: int) -> Pixels:
    """Axes with a grid, bars and curves."""
    image, pen = _canvas(height, width, CORNERS["white"])
    left, bottom = int(0.12 * width), int(0.88 * height)
    for y in np.linspace(0.1 * height, bottom, 5):
        pen.line([left, int(y), width - 6, int(y)], fill=(220, 220, 220))
        pen.text((2, int(y) - 5), f"{random.uniform(0, 99):.1f}", fill=(0, 0, 0), font=_font(9))
    count, fill = int(random.integers(4, 12)), colour(random)
    for i, top in enumerate(random.uniform(0.15 * height, bottom, count)):
        x = left + (width - left) * i / count
        pen.rectangle([x + 2, top, x + 0.7 * (width - left) / count, bottom], fill=fill)
    for _ in range(int(random.integers(1, 4))):
        ys = random.uniform(0.1 * height, bottom, 12)
        pen.line([(left + (width - left) * i / 11, float(y)) for i, y in enumerate(ys)], fill=colour(random), width=2)
    pen.line([left, 0, left, bottom, width, bottom], fill=(0, 0, 0))
    return np.asarray(image)


def screen(random: np.random.Generator, height: int, width: int) -> Pixels:
    """Windows with title bars, buttons and text, as on a desktop."""
    image, pen = _canvas(height, width, colour(random))
    for _ in range(int(random.integers(1, 4))):
        x, y = (int(v) for v in random.uniform(-0.1, 0.5, 2) * (width, height))
        w, h = (int(v) for v in random.uniform(0.4, 1.0, 2) * (width, height))
        dark = random.random() < 0.4
        paper, ink = ((30, 30, 30), (212, 212, 212)) if dark else ((255, 255, 255), (20, 20, 20))
        pen.rectangle([x, y, x + w, y + h], fill=paper, outline=(128, 128, 128))
        pen.rectangle([x, y, x + w, y + 16], fill=colour(random))
        for i, name in enumerate(("red", "yellow", "green")):
            pen.ellipse([x + w - 14 - 14 * i, y + 4, x + w - 6 - 14 * i, y + 12], fill=CORNERS[name])
        for i in range(3):
            pen.rectangle([x + 6 + 44 * i, y + 22, x + 46 + 44 * i, y + 36], fill=colour(random))
        _write(pen, random, (x + 6, y + 42, x + w - 6, y + h - 4), ink, int(random.choice([9, 11, 13])))
    return np.asarray(image)


KINDS: dict[str, Draw] = {
    "flat": flat, "patches": patches, "gradient": gradient, "checkerboard": checkerboard, "stripes": stripes,
    "lines": lines, "shapes": shapes, "text": text, "chart": chart, "screen": screen,
}  # fmt: skip


def draw(random: np.random.Generator, height: int, width: int) -> Pixels:
    """A picture of a random kind."""
    return KINDS[str(random.choice(list(KINDS)))](random, height, width)


def pictures(height: int = 256, width: int = 384) -> dict[str, Pixels]:
    """The fixed set of the bench: 24 pictures by name, from fixed seeds."""
    found = {f"flat-{name}": np.full((height, width, 3), value, np.uint8) for name, value in CORNERS.items()}
    wanted = ["patches", "gradient", "gradient", "checkerboard", "checkerboard", "stripes", "lines", "shapes", "shapes"]
    wanted += ["text", "text", "text", "chart", "chart", "screen", "screen"]
    for number, kind in enumerate(wanted):
        name = f"{kind}-{1 + wanted[:number].count(kind)}"
        found[name] = KINDS[kind](np.random.default_rng(1000 + number), height, width)
    return found


def _canvas(height: int, width: int, paper: Colour) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width, height), paper)
    return image, ImageDraw.Draw(image)


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _write(
    pen: ImageDraw.ImageDraw, random: np.random.Generator, box: tuple[int, int, int, int], ink: Colour, size: int
) -> None:  # fmt: skip
    """Fill a box with lines of words."""
    left, top, right, bottom = box
    font = _font(size)
    for y in range(top, bottom - size, size + size // 3 + 1):
        words = random.choice(TEXT.split(), max((right - left) // (4 * size), 1))
        pen.text((left, y), " ".join(str(word) for word in words), fill=ink, font=font)
