"""Kernels are right on hosts with narrower vectors than this one's, whose tiles and lanes differ."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convbench.kernels.simd import VECTOR_BYTES

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


def run_with_width(text: str, source: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent), "CONVBENCH_VECTOR_BYTES": text}
    return subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("vector_bytes", [16, 32, 64])
def test_a_width_asked_for_is_the_width_compiled(vector_bytes: int) -> None:
    if vector_bytes > VECTOR_BYTES:
        pytest.skip(f"this host's own vectors have {VECTOR_BYTES} bytes")
    source = """
from convbench import ConvSpec, check
from convbench.kernels.gemm import panel_width
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.jit import code_dir
print(VECTOR_BYTES, panel_width("float32") * 2, code_dir().name.split("-")[2])
print(check("direct", ConvSpec.parse("g2mb2ic10ih13oc14oh7kh3sh2ph1"), threads=1).ok)
"""
    done = run_with_width(str(vector_bytes), source)
    assert done.stdout.split() == [str(vector_bytes)] * 3 + ["True"], done.stdout + done.stderr


@pytest.mark.parametrize("text", ["8", "128", "wide", "-16"])
def test_a_width_that_does_not_exist_is_refused(text: str) -> None:
    done = run_with_width(text, "import convbench.kernels.gemm")
    assert done.returncode != 0
    assert f"CONVBENCH_VECTOR_BYTES='{text}'; allowed: 64, 32, 16" in done.stderr
