"""Kernels are right on hosts with narrower vectors than this one's, whose tiles and lanes differ."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convbench.kernels.gemm import VECTOR_BYTES

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize("vector_bytes", [32, 16])
def test_every_algorithm_on_a_narrower_host(vector_bytes: int) -> None:
    if vector_bytes >= VECTOR_BYTES:
        pytest.skip(f"this host's own vectors have {VECTOR_BYTES} bytes")
    done = subprocess.run(
        [sys.executable, str(HERE / "narrow.py"), str(vector_bytes)],
        env={**os.environ, "PYTHONPATH": str(HERE.parent)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert int(done.stdout.split()[0]) > 1000
