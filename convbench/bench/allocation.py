"""What a call allocates beside the scratch that it declares: NumPy's arrays, and the growth of resident memory.

``tracemalloc`` sees Python's and NumPy's own memory to the byte. What BLAS, pocketfft and oneDNN allocate shows in the
peak of resident memory only: Linux forgets an earlier peak when told to (``/proc/self/clear_refs``), and glibc gives
its free pages back first, so that a call has to touch whatever it takes, and no huge pages are taken meanwhile: one
touched byte would count as 2 MB of memory that NumPy once asked to be huge. The kernel counts resident pages in
batches, so less than ``RESOLUTION`` means little.
"""

from __future__ import annotations

import ctypes
import re
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from convbench.bench.environment import Facts

RESOLUTION = 1 << 20
PROCESS = Path("/proc/self")
FORGET_PEAK = "5"
SET_HUGE_PAGES_OFF, GET_HUGE_PAGES_OFF = 41, 42  # of prctl(2)


def allocated(call: Callable[[], object], output_bytes: int = 0) -> Facts:
    """``traced_bytes`` and, where the system tells it, ``resident_bytes``: peaks within one call that is warm already.

    ``output_bytes``, which a call that returns an array of its own allocates in any case, are not counted.
    """
    tracemalloc.start()
    try:
        with _small_pages():
            resident = _before()
            tracemalloc.reset_peak()
            start = tracemalloc.get_traced_memory()[0]
            result = call()
            traced = tracemalloc.get_traced_memory()[1] - start
    finally:
        tracemalloc.stop()
    found: Facts = {"traced_bytes": max(0, traced - output_bytes)}
    if resident:
        found["resident_bytes"] = max(0, _status("VmHWM") - resident - output_bytes)
    del result
    return found


@contextmanager
def _small_pages() -> Iterator[None]:
    """Without huge pages, where the system can; as it was, afterwards."""
    try:
        control = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        yield
        return
    off = control(GET_HUGE_PAGES_OFF, 0, 0, 0, 0)
    control(SET_HUGE_PAGES_OFF, 1, 0, 0, 0)
    try:
        yield
    finally:
        control(SET_HUGE_PAGES_OFF, max(0, off), 0, 0, 0)


def _before() -> int:
    """Bytes resident, with free memory given back and earlier peaks forgotten; 0 if the system cannot do that."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        (PROCESS / "clear_refs").write_text(FORGET_PEAK)
    except OSError:
        return 0
    return _status("VmRSS")


def _status(field: str) -> int:
    """Bytes that ``/proc/self/status`` gives for ``field``; 0 if there is none."""
    found = re.search(rf"^{field}:\s+(\d+) kB", (PROCESS / "status").read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0
