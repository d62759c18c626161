"""What a time depends on besides the algorithm: hardware, versions, thread pools, environment variables."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from convbench.bench.scrub import scrub
from convbench.kernels.blas import blas_name
from convbench.machine import describe, fingerprint

PACKAGES = ("convbench", "numpy", "scipy", "numba", "llvmlite", "torch", "onnxruntime", "opencv-python-headless")
PREFIXES = (
    *("NUMBA_", "OMP_", "OPENBLAS_", "MKL_", "KMP_", "BLIS_", "GOTO_", "VECLIB_", "ONEDNN_", "DNNL_"),
    *("ATEN_", "TORCH_", "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD", "PYTHONMALLOC", "CONVBENCH_VECTOR_BYTES"),
)
CPU = Path("/sys/devices/system/cpu")
SYSTEM = {
    "cpu_governor": CPU / "cpu0/cpufreq/scaling_governor",
    "cpu_driver": CPU / "cpu0/cpufreq/scaling_driver",
    "cpu_max_khz": CPU / "cpu0/cpufreq/cpuinfo_max_freq",
    "cpu_boost": CPU / "cpufreq/boost",
    "cpu_no_turbo": CPU / "intel_pstate/no_turbo",
    "cpu_smt": CPU / "smt/active",
    "cpu_isolated": CPU / "isolated",
    "huge_pages": Path("/sys/kernel/mm/transparent_hugepage/enabled"),
}
"""What a time depends on and the system tells in a file, where it does."""

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
        "cpu_affinity": _affinity(),
        **_system(),
        **_versions(),
        **_variables(),
    }
    facts["blas"] = blas_name()
    if revision := _git_revision():
        facts["git_revision"] = revision
    return facts


def _system() -> Facts:
    """The files of ``SYSTEM`` that can be read and say something; of alternatives, the one in brackets."""
    found: Facts = {}
    for name, path in SYSTEM.items():
        with suppress(OSError):
            text = path.read_text().strip()
            if text:
                found[name] = chosen[1] if (chosen := re.search(r"\[(.*?)\]", text)) else text
    return found


def _affinity() -> str:
    """Processors that this process may run on, such as "0-3,6"; empty where the system does not say."""
    if not hasattr(os, "sched_getaffinity"):
        return ""
    ranges: list[list[int]] = []
    for processor in sorted(os.sched_getaffinity(0)):
        if ranges and ranges[-1][1] == processor - 1:
            ranges[-1][1] = processor
        else:
            ranges.append([processor, processor])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in ranges)


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
