"""The probes do the work they claim, and the constants measured with them are usable."""

from __future__ import annotations

import numpy as np
import pytest

from convbench.bench import probes
from convbench.bench.calibrate import measure
from convbench.bench.jitclock import JitClock
from convbench.bench.probes import PAGE, Ring, fma_probe
from convbench.kernels.gemm import panel_width
from convbench.machine import SHIPPED


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_fma_probe_claims_the_flop_of_its_products(
    dtype: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int, int]] = []
    products: list[np.ndarray] = []

    def parallel(kernel, tasks, given, times, rows, depth, *rest, private):  # type: ignore[no-untyped-def]
        seen.append((tasks * times, rows, depth))
        products.extend(private)
        for task in range(tasks):
            kernel(task, task + 1, 1, rows, depth, *rest, private[task])

    monkeypatch.setattr(probes, "parallel", parallel)
    probe = fma_probe(dtype, threads, SHIPPED)
    probe.call()
    ((count, rows, depth),) = seen
    assert probe.work == 2.0 * count * rows * depth * panel_width(np.dtype(dtype))
    assert probe.facts == {"probe_flop": probe.work}
    assert len(products) == threads
    for product in products:
        np.testing.assert_array_equal(product, np.full_like(product, depth * 0.5 * 0.25))


def test_the_operands_of_the_fma_probe_fit_in_a_first_level_cache() -> None:
    for dtype in (np.dtype("float32"), np.dtype("float64")):
        width = panel_width(dtype)
        elements = probes.DEPTH * probes.ROWS + probes.DEPTH * width + probes.ROWS * width
        assert elements * dtype.itemsize < 32 << 10


def test_the_ring_copies_every_byte_it_claims_and_goes_on_where_it_was() -> None:
    ring = Ring(64 * PAGE)
    ring.source[:] = np.random.default_rng(0).integers(0, 256, ring.source.size)
    ring.target[:] = 0
    ring.copy(0, 3, 5 * PAGE, 7)
    np.testing.assert_array_equal(ring.target[7 : 7 + 15 * PAGE], ring.source[7 : 7 + 15 * PAGE])
    assert not ring.target[:7].any()
    assert not ring.target[7 + 15 * PAGE :].any()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_stream_probe_touches_new_memory_each_time(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring(64 << 20)
    copied: list[tuple[int, int]] = []
    monkeypatch.setattr(ring, "copy", lambda begin, end, nbytes, first: copied.append((first, (end - begin) * nbytes)))
    probe = ring.probe(threads, SHIPPED)
    probe.call()
    probe.call()
    assert probe.work == 2 * sum(nbytes for _, nbytes in copied) / 2
    firsts = sorted({first for first, _ in copied})
    assert firsts == [0, probe.work / 2]


def test_measured_constants_are_whole_and_possible() -> None:
    here = measure()
    assert set(here.peak_flops) == set(SHIPPED.peak_flops)
    assert all(1e8 < rate < 1e13 for rate in here.peak_flops.values())
    assert 1e8 < here.bandwidth < 1e12
    assert 0 < here.blas_fraction <= 1
    assert here.l2_bytes >= 1 << 17
    assert here.fft_flops > 0
    assert here.name


def test_the_jit_clock_sees_compilation_and_nothing_else() -> None:
    import numba

    function = numba.njit(lambda x: x + 1)
    with JitClock() as first:
        function(1)
    assert first.total >= first.compiling > 0
    assert first.loading == first.total - first.compiling
    with JitClock() as second:
        function(1)
    assert (second.total, second.compiling) == (0.0, 0.0)
