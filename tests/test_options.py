"""What options are parsed into."""

from __future__ import annotations

import pytest
import typer

from fedscodec.commands.options import bytes_of


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("200000", 200_000), ("200k", 200_000), ("200 kB", 200_000), ("200K", 200_000), ("200KiB", 204_800),
        ("1.5M", 1_500_000), ("1.5MiB", 1_572_864), (".5k", 500), ("2G", 2_000_000_000), ("7B", 7),
    ],
)  # fmt: skip
def test_bytes(text, number):
    assert bytes_of(text) == number


@pytest.mark.parametrize("text", ["", "k", "-1", "1e3", "200kk", "2x", "1,000", "nan"])
def test_invalid_numbers_of_bytes(text):
    with pytest.raises(typer.BadParameter, match="expected bytes such as 200000, 200k, 1.5M or 200KiB, found "):
        bytes_of(text)
