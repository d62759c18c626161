"""1-D layers against SciPy's ``oaconvolve`` and torch: long FIR filters on audio, and layers of many channels.

Run: ``python benchmarks/rivals_signals.py [ROW …]``. torch gets the layers as images of one row, in all its modes
(its own 1-D convolution is the slowest of them by far), and no filter of one channel longer than ``LONGEST`` allows.
"""

from __future__ import annotations

from collections.abc import Iterable

from races import Contender
from rivals import Case, scipy_signal, torch_in_two
from rows import Row, fixed, main

from convbench.spec import ConvSpec

AUDIO = 480_000  # 10 s at 48 kHz
TAPS = (63, 255, 1023, 4095, 16383, 65535)
LONGEST = 5e8  # multiply-adds


def fir(most: float = float("inf")) -> list[ConvSpec]:
    specs = [ConvSpec((1, 1, AUDIO), (1, 1, taps), padding=taps // 2) for taps in TAPS]
    return [spec for spec in specs if spec.macs <= most]


def channels() -> list[ConvSpec]:
    """64 channels and 1k taps: all with all, and each with a filter of its own."""
    return [
        ConvSpec((1, 64, 4096), (64, 64, 1023), padding=511),
        ConvSpec((1, 64, 48_000), (64, 1, 1023), padding=511, groups=64),
    ]


def oaconvolve(case: Case, threads: int) -> Iterable[Contender]:
    return [scipy_signal(case, "oaconvolve")]


def torch(case: Case, threads: int) -> Iterable[Contender]:
    return torch_in_two(case, threads)


ROWS = [
    Row("fir", "FIR filters on 10 s of audio against oaconvolve", 1.5, fixed(fir), 4, rivals=oaconvolve),
    Row("fir-torch", "the same against torch", 5, fixed(lambda: fir(LONGEST)), 20, rivals=torch),
    Row("channels", "64 channels, 1k taps, against oaconvolve", 1.5, fixed(channels), 4, rivals=oaconvolve),
    Row("channels-torch", "64 channels, 1k taps, against torch", 5, fixed(channels), 20, rivals=torch),
]


if __name__ == "__main__":
    main(ROWS, __doc__)
