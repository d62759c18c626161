"""Numbers as people read them: three significant digits and a unit. Seconds, bytes and fractions go in."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["NOTHING", "count", "joined", "percent", "rate", "ratio", "scientific", "seconds", "size"]

NOTHING = "–"


def _significant(value: float, digits: int = 3) -> str:
    """1234.5 -> 1,230, 12.345 -> 12.3, 9.999 -> 10.0, 0.012345 -> 0.0123: never an exponent."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    return f"{rounded:,.{max(digits - 1 - math.floor(math.log10(abs(rounded))), 0)}f}"


def seconds(value: float | None) -> str:
    """0.000123 -> 123 µs."""
    if value is None or not math.isfinite(value):
        return NOTHING
    for scale, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(value) >= scale:
            return f"{_significant(value / scale)} {unit}"
    return f"{_significant(value / 1e-9)} ns"


def size(value: float) -> str:
    """1536 bytes -> 1.50 KiB."""
    if not math.isfinite(value):
        return NOTHING
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if abs(value) >= 1024**power:
            return f"{_significant(value / 1024**power)} {unit}"
    return f"{value:.0f} B"


def rate(value: float, unit: str) -> str:
    """1.33e11, "flop/s" -> 133 Gflop/s; decimal prefixes."""
    if not math.isfinite(value):
        return NOTHING
    for power, prefix in ((4, "T"), (3, "G"), (2, "M"), (1, "k")):
        if abs(value) >= 1000**power:
            return f"{_significant(value / 1000**power)} {prefix}{unit}"
    return f"{_significant(value)} {unit}"


def ratio(value: float) -> str:
    """1.234 -> 1.23×, 56.7 -> 57×, 0.00123 -> 0.0012×."""
    if not math.isfinite(value):
        return NOTHING
    return f"{value:.2f}×" if 0.095 < value < 9.95 else f"{_significant(value, 2)}×"


def percent(value: float) -> str:
    """0.873 -> 87%, 0.0043 -> 0.4%."""
    if not math.isfinite(value):
        return NOTHING
    return f"{value:.1%}" if 0 < abs(value) < 0.0095 else f"{value:.0%}"


def scientific(value: float) -> str:
    """1.23e-06 -> 1.2e-06."""
    return f"{value:.1e}" if math.isfinite(value) else NOTHING


def count(number: int, noun: str) -> str:
    """1, "problem" -> 1 problem; 3, "problem" -> 3 problems."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def joined(items: Sequence[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
