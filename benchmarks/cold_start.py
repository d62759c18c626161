"""What does the first call cost? Imports and first calls in fresh processes, medians of several.

Run: ``python benchmarks/cold_start.py``. "import" is time beyond ``import numpy``; "first call" is one ``conv2d`` from
the start of a process's imports, with kernels compiled by an earlier process; "compiling" is the same with an empty
cache of compiled kernels.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from statistics import median

IMPORT = """
import time; import numpy; start = time.perf_counter()
import convbench
print(time.perf_counter() - start)
import sys; loaded = [name for name in ("numba", "scipy", "pandas", "altair", "pyperf") if name in sys.modules]
assert not loaded, loaded
"""
CALL = """
import time; start = time.perf_counter()
import numpy, convbench
convbench.conv2d(numpy.ones((1, 64, 56, 56), "f"), numpy.ones((64, 64, 3, 3), "f"), padding=1)
print(time.perf_counter() - start)
"""


def run(code: str, **environment: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout)


def main() -> None:
    with tempfile.TemporaryDirectory() as empty:
        print(f"compiling    {run(CALL, NUMBA_CACHE_DIR=empty):7.3f} s")
        print(f"first call   {median(run(CALL, NUMBA_CACHE_DIR=empty) for _ in range(5)):7.3f} s")
    print(f"import       {median(run(IMPORT) for _ in range(9)) * 1e3:7.1f} ms")


if __name__ == "__main__":
    main()
