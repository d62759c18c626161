"""F(1 × 4, r × 3): every width of a row, strips, limits, what lanes nobody wrote hold, and where it applies."""

from __future__ import annotations

import numpy as np
import pytest

import convbench as cb
from convbench.algorithm import Unsupported, get
from convbench.data import arrays
from convbench.kernels import row_products
from convbench.kernels.row_tiles import F, image_lines, lines
from convbench.machine import SHIPPED
from convbench.spec import ConvSpec
from convbench.verify import check

NAME = "winograd_1x4_3x3"
ROWS = get(NAME)


def square(side: int, channels: int = 5, outputs: int = 11) -> ConvSpec:
    return ConvSpec((1, channels, side, side), (outputs, channels, 3, 3), padding=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("side", [*range(1, 20), 26, 28, 33])
def test_rows_of_every_width(side: int, dtype: str) -> None:
    verdict = check(NAME, square(side).replace(dtype=dtype))
    assert verdict.ok, verdict


@pytest.mark.parametrize(
    "problem",
    [
        "g3mb2ic36ih14oc60oh14kh3ph1",
        "g2mb3ic10ih9iw13oc18oh9ow13kh1kw3ph0pw1",
        "mb1ic6ih17iw12oc9oh13ow12kh5kw3ph0pw1",
        "mb1ic6ih17iw12oc9oh17ow12kh3kw3dh1dw0ph2pw1",
        "mb2ic16iw50oc12ow50kw3pw1",
        "mb1ic4ih8iw10oc4oh8ow12kh3kw3ph1pw2",
    ],
)
@pytest.mark.parametrize("threads", [1, 3])
def test_groups_filters_and_paddings(problem: str, threads: int) -> None:
    verdict = check(NAME, ConvSpec.parse(problem), threads=threads)
    assert verdict.ok, verdict


@pytest.mark.parametrize("held", [1, 20_000])
def test_strips_give_what_the_whole_plane_gives(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = square(30, 7, 10)
    x, w, bias = arrays(spec)
    whole = cb.kernel(spec, NAME, threads=1)(x, w, bias)
    monkeypatch.setattr(row_products, "HELD_BYTES", held)
    assert ROWS.plan(spec, 1, None).tasks > 1
    assert np.array_equal(cb.kernel(spec, NAME, threads=1)(x, w, bias), whole)


def test_a_limit_shortens_strips_before_it_refuses() -> None:
    spec = square(40, 8, 8)
    free = ROWS.workspace(ROWS.plan(spec, 1, None))
    limited = ROWS.plan(spec, 1, free // 2)
    assert ROWS.workspace(limited) <= free // 2
    assert limited.tasks > 1
    assert check(NAME, spec, workspace_limit=free // 2).ok
    with pytest.raises(Unsupported, match="shortest strips"):
        ROWS.plan(spec, 1, 1000)


def test_preparing_is_expected_to_take_what_it_takes() -> None:
    """35 µs and 300 µs were seen: a call that prepares its filters anew would rather not, at 7 × 7."""
    few, many = (ConvSpec((1, 32, 7, 7), (outputs, 1, 3, 3), padding=1, groups=32) for outputs in (32, 1024))
    for spec, least, most in ((few, 2e-5, 8e-5), (many, 2e-4, 5e-4)):
        kernel = cb.kernel(spec, NAME, threads=1)
        assert least < ROWS.prepare_cost(kernel.plan, SHIPPED) < most


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("side", [5, 14, 20, 33])
def test_no_lane_computes_on_what_nobody_wrote(side: int, threads: int) -> None:
    """Denormal numbers there would slow every product of their lanes: a strip reads what it transformed, or zeros."""
    plan = ROWS.plan(square(side), threads, None)
    lanes = row_products.VECTOR_BYTES // plan.spec.itemsize
    reach = plan.strip * lanes + int(plan.offsets[:3].max())
    assert reach <= plan.pitch + lanes, "the next product's inputs, or the zeros behind the last"
    assert plan.plane >= F.alpha * plan.pitch + lanes
    strips = -(-plan.vectors // plan.strip)
    assert len(plan.read) >= (strips - 1) * plan.strip + plan.pitch // lanes


def test_a_line_says_where_elements_are() -> None:
    """Rows of three elements laid out as four, lanes of four: vectors of one run each, and those of two."""
    apart = np.array([0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, -1, -1, -1, -1])
    assert lines(apart, 4).tolist() == [[1, 0, 3, 6, 0, 7, 7, 7, 0]]
    split = np.array([-1, 0, 1, 2, 3, -1, 4, 5, *[-1] * 8])
    assert lines(split, 4).tolist() == [[0, 0, 3, 0, 0, 14, 13, 0, 0]]


def test_neighbours_end_with_their_row() -> None:
    """Two rows of two tiles each, lanes of two: a vector of tiles has a neighbour within its row only."""
    table = image_lines(np.arange(16), across=2, lanes=2)
    (*_, left, right, has_left, has_right), second = table
    assert (left, right) == (0, 8)
    assert (has_left, has_right) == (0b10, 0b01)
    assert tuple(second[-4:]) == (7, 0, 0b10, 0b01)


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        ("mb1ic8ih9oc8oh7kh3", "padding on both sides"),
        ("mb1ic8ih9iw9oc8oh9ow8kh3kw3ph1pw0", "padding on both sides"),
        ("mb1ic8ih9oc8oh5kh3sh2ph1", "stride 1"),
        ("mb1ic8ih9oc8oh9kh5ph2", "3 taps"),
        ("mb1ic2ih600oc2oh600kh3ph1", "tables"),
    ],
)
def test_it_says_why_not(problem: str, reason: str) -> None:
    assert reason in str(ROWS.supports(ConvSpec.parse(problem)))
