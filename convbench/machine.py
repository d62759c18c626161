"""What a cost model knows of a machine: its limits in flop/s and bytes/s, and where its measurements live.

``SHIPPED`` serves until ``convbench machine``, ``bench`` or ``tune`` has measured better constants and ``save``d them
in ``cache_dir()``; ``load`` gives them back only to the machine with the same ``fingerprint``.
All rates are those of ONE core: ``flop_time`` and ``byte_time`` scale them by the number of threads.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Protocol

VERSION = 1
FILE_NAME = "machine.json"
FEATURES = ("fma", "avx", "avx2", "avx512f", "avx512bw", "avx512vl", "amx_tile", "asimd", "sve")


class HasDtype(Protocol):
    """Anything that names its element type: a ``ConvSpec``."""

    @property
    def dtype(self) -> str: ...


@dataclass(frozen=True)
class Machine:
    """Limits of one core. Rates in flop/s and bytes/s, sizes in bytes, ``call_overhead`` in seconds.

    ``peak_flops``: multiply-adds (2 flop) from L1, by dtype name. ``bandwidth``: bytes read + written per second by a
    copy out of DRAM; ``l2_bandwidth``: the same for a copy that stays in L2. ``blas_fraction``: BLAS's large matrix
    product over ``peak_flops``. ``fft_flops``: scipy.fft on float32, counted as 2.5·n·log2 n for a real transform.
    """

    name: str
    peak_flops: Mapping[str, float]
    bandwidth: float
    l2_bandwidth: float
    l2_bytes: int
    blas_fraction: float
    fft_flops: float
    call_overhead: float

    def flop_time(self, flop: float, spec: HasDtype, threads: int = 1, efficiency: float = 1.0) -> float:
        """Seconds for ``flop`` in ``spec.dtype`` on ``threads`` cores that reach ``efficiency`` of their peak."""
        return flop / (self.peak_flops[spec.dtype] * threads * efficiency)

    def byte_time(self, nbytes: float, threads: int = 1) -> float:
        """Seconds to read or write ``nbytes`` on ``threads`` cores: at L2 speed while they fit into their L2 caches."""
        rate = self.l2_bandwidth if nbytes <= self.l2_bytes * threads else self.bandwidth
        return nbytes / (rate * threads)

    def fft_time(self, flop: float, spec: HasDtype, threads: int = 1) -> float:
        """Seconds for transforms of ``flop`` in all; float64 is slower as its peak is lower."""
        scale = self.peak_flops[spec.dtype] / self.peak_flops["float32"]
        return flop / (self.fft_flops * scale * threads)


SHIPPED = Machine(
    name="shipped: a server core with AVX-512",
    peak_flops={"float32": 1.2e11, "float64": 6.0e10},
    bandwidth=1.2e10,
    l2_bandwidth=5.5e10,
    l2_bytes=1 << 20,
    blas_fraction=0.8,
    fft_flops=6.0e9,
    call_overhead=1.0e-5,
)


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_dir() -> Path:
    """``$CONVBENCH_CACHE``, else ``$XDG_CACHE_HOME/convbench``, else ``~/.cache/convbench``; it need not exist yet."""
    if own := os.environ.get("CONVBENCH_CACHE"):
        return Path(own)
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg) / "convbench"
    return Path.home() / ".cache" / "convbench"


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace ``path`` by ``content`` in one step: a reader or a crash sees the old file or the new one, never a part.

    Raises ``OSError`` when the directory cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def save(machine: Machine, path: Path | None = None) -> Path:
    """Store ``machine`` as this machine's constants; gives the file's path."""
    path = path or cache_dir() / FILE_NAME
    record = {"version": VERSION, "fingerprint": fingerprint(), "machine": asdict(machine)}
    write_atomic(path, json.dumps(record, indent=2) + "\n")
    current.cache_clear()
    return path


def load(path: Path | None = None) -> Machine:
    """This machine's measured constants, or ``SHIPPED`` when there are none.

    A file that is corrupt or of another version or machine is named in one warning and ignored.
    """
    path = path or cache_dir() / FILE_NAME
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["version"] != VERSION:
            raise ValueError(f"version {record['version']!r}, not {VERSION}")
        if record["fingerprint"] != fingerprint():
            raise ValueError("measured on another machine")
        return _parsed(record["machine"])
    except FileNotFoundError:
        return SHIPPED
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        warnings.warn(f"{path}: {error!s}; ignored, shipped machine constants used", stacklevel=2)
        return SHIPPED


@lru_cache(maxsize=1)
def current() -> Machine:
    """``load()``, read once per process."""
    return load()


def _parsed(record: Mapping[str, Any]) -> Machine:
    """A ``Machine`` from JSON; ValueError names the field that is missing or is not a positive number."""
    values: dict[str, Any] = {}
    for field in fields(Machine):
        value = record[field.name]
        if field.name != "name":
            numbers = list(value.values()) if field.name == "peak_flops" else [value]
            if any(isinstance(n, bool) or not isinstance(n, int | float) or not 0 < n < 1e30 for n in numbers):
                raise ValueError(f"{field.name} = {value!r}, not positive")
        values[field.name] = value
    for dtype in SHIPPED.peak_flops:
        values["peak_flops"][dtype]
    return Machine(**values)


def describe() -> dict[str, str | int]:
    """The hardware in words: cpu, cpu_family, features, cores, caches, arch, os. Nothing that names host or user."""
    info = _cpuinfo()
    facts: dict[str, str | int] = {
        "cpu": info.get("model name") or info.get("CPU part") or platform.processor() or "unknown",
        "arch": platform.machine(),
        "os": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count() or 1,
    }
    if "cpu family" in info:
        facts["cpu_family"] = f"{info['cpu family']}-{info['model']}-{info['stepping']}"
    present = set((info.get("flags") or info.get("Features") or "").split())
    if features := [name for name in FEATURES if name in present]:
        facts["cpu_features"] = " ".join(features)
    facts |= {f"cache_{name}": size for name, size in _caches()}
    return facts


def fingerprint() -> str:
    """12 hex digits that differ between machines whose kernels' times differ: CPU, features, caches, core count."""
    facts = describe()
    facts.pop("os")
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


@lru_cache(maxsize=1)
def _cpuinfo() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; empty where there is none (macOS, Windows)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    lines = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in lines}


def _caches() -> Iterator[tuple[str, str]]:
    """("L1d", "48K"), ("L2", "2048K"), … of processor 0 as Linux tells them."""
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = ((index / part).read_text().strip() for part in ("level", "type", "size"))
        except OSError:
            continue
        yield f"L{level}" + {"Data": "d", "Instruction": "i"}.get(kind, ""), size
