"""What a time depends on besides the algorithm: hardware, versions, thread pools, environment variables."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from convbench.bench.scrub import scrub
from convbench.kernels.blas import blas_name
from convbench.machine import describe, fingerprint

PACKAGES = ("convbench", "numpy", "scipy", "numba", "llvmlite", "torch", "onnxruntime", "opencv-python-headless")
PREFIXES = ("NUMBA_", "OMP_", "OPENBLAS_", "MKL_", "KMP_", "BLIS_", "GOTO_", "MALLOC_")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")

Facts = dict[str, str | int | float]


def environment() -> Facts:
    """Facts about this machine and process for the record, in pyperf's names where it has one; nothing personal."""
    hardware = describe()
    facts: Facts = {
        "cpu_model_name": hardware.pop("cpu"),
        "cpu_count": hardware.pop("cores"),
        "platform": hardware.pop("os"),
        **hardware,
        "machine": fingerprint(),
        "python_implementation": platform.python_implementation().lower(),
        "python_version": platform.python_version(),
        **_versions(),
        **_variables(),
    }
    facts["blas"] = blas_name()
    if revision := _git_revision():
        facts["git_revision"] = revision
    if GOVERNOR.is_file():
        facts["cpu_governor"] = GOVERNOR.read_text().strip()
    return facts


def _versions() -> Facts:
    found: Facts = {}
    for package in PACKAGES:
        try:
            found[package.split("-")[0] + "_version"] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _variables() -> Facts:
    """Environment variables that change how the libraries compute; directories are of no interest."""
    chosen = sorted(name for name in os.environ if name.startswith(PREFIXES) and not name.endswith(("_DIR", "_PATH")))
    return {f"env_{name}": value for name in chosen if (value := scrub(os.environ[name]))}


def _git_revision() -> str:
    """The checkout's short commit, with ``-dirty`` if it was changed; empty outside a checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
