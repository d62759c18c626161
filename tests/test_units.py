"""Numbers as people read them."""

from __future__ import annotations

import pytest

from convbench import units


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (units.seconds(1.23456e-4), "123 µs"),
        (units.seconds(0.0099999), "10.0 ms"),
        (units.seconds(2.5), "2.50 s"),
        (units.seconds(3e-9), "3.00 ns"),
        (units.seconds(0), "0 ns"),
        (units.seconds(float("nan")), "–"),
        (units.size(1536), "1.50 KiB"),
        (units.size(12), "12 B"),
        (units.size(5 * 2**30), "5.00 GiB"),
        (units.ratio(1.234), "1.23×"),
        (units.ratio(56.7), "57×"),
        (units.ratio(12345.0), "12,000×"),
        (units.ratio(0.00123), "0.0012×"),
        (units.percent(2.314), "231%"),
        (units.percent(0.0043), "0.4%"),
        (units.percent(0.0), "0%"),
        (units.scientific(1.23e-6), "1.2e-06"),
        (units.rate(1.33e11, "flop/s"), "133 Gflop/s"),
        (units.rate(9.5, "B/s"), "9.50 B/s"),
        (units.count(1, "problem"), "1 problem"),
        (units.count(3, "problem"), "3 problems"),
    ],
)
def test_units(said: str, expected: str) -> None:
    assert said == expected
