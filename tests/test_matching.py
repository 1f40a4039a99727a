from dataclasses import replace

import pytest
from bench_examples import row

from fedscodec.bench import matching


def at(setting, size):
    return replace(row("jpeg", "a.png", setting, 1.0, 30.0), bytes=size)


def codec(sizes, tried):
    """Measures a codec whose files have these sizes, and notes at what settings it was tried."""

    def measure(setting):
        tried.append(setting)
        return at(setting, sizes(setting))

    return measure


@pytest.mark.parametrize(
    ("sizes", "known", "size", "tried", "found"),
    [
        (lambda s: 100 * 2 ** (s / 10), (0, 100), 3200, [50], 3200),  # the logarithm is a line: the first try is right
        (lambda s: 100 * 2 ** ((100 - s) / 10), (0, 100), 3200, [50], 3200),  # a QP, which falls
        (lambda s: 100 + s * s, (1, 100), 2600, [71, 59, 54], 3016),  # comes nearer until no more tries are allowed
        (lambda s: 100 * s, (20, 21), 2050, [], 2000),  # no whole setting lies between
        (lambda s: 100 * s, (20, 60), 2030, [], 2000),  # near enough already
        (lambda s: 100 * s, (20, 60), 900, [], 2000),  # out of reach
        (lambda s: {20: 2000}.get(s, 6000), (20, 60), 4000, [45], 2000),  # 45 is as large as 60, and is not tried again
    ],
)
def test_the_setting_for_a_size_is_found(sizes, known, size, tried, found, monkeypatch):
    monkeypatch.setattr(matching, "TRIES", 3)
    seen = []
    rows = [at(setting, int(sizes(setting))) for setting in known]
    rows += matching.search(rows, size, codec(lambda s: int(sizes(s)), seen))
    assert seen == tried
    assert matching.nearest(rows, size).bytes == found


def test_a_codec_that_fails_ends_the_search():
    assert list(matching.search([at(0, 100), at(100, 10_000)], 1000, lambda setting: None)) == []


@pytest.mark.parametrize(
    ("count", "expected"), [(0, []), (1, [0]), (2, [1, 0]), (3, [1, 0, 2]), (5, [2, 0, 4]), (7, [3, 0, 6])]
)
def test_which_settings_are_shown(count, expected):
    rows = [at(number, 10 * number) for number in range(count)]
    assert [r.setting for r in matching.levels(rows[::-1])] == expected
