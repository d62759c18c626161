"""What charts are made of: places, colours, and names of problems."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import report_frame
from hypothesis import given
from hypothesis import strategies as st

from convbench import suites
from convbench.algorithm import algorithms
from convbench.peers import peers
from convbench.report import palette
from convbench.report.layout import Box, LogAxis, place, spread
from convbench.report.problems import CLASSES, describe, problem_class, shape, sweeps
from convbench.spec import ConvSpec

# Where things go


@given(st.lists(st.floats(-1e3, 1e3), max_size=12), st.floats(0.1, 30))
def test_spread_keeps_order_and_gap_and_moves_nothing_that_has_room(wanted: list[float], gap: float) -> None:
    placed = spread(wanted, gap)
    order = np.argsort(wanted, kind="stable")
    assert all(b - a >= gap - 1e-6 for a, b in zip(np.take(placed, order), np.take(placed, order)[1:], strict=False))
    if all(b - a > gap for a, b in zip(np.take(wanted, order), np.take(wanted, order)[1:], strict=False)):
        assert placed == pytest.approx(wanted)


def test_labels_are_clear_of_points_and_of_each_other() -> None:
    points = [(100.0 + 12 * i, 200.0 + 3 * (i % 3)) for i in range(12)]
    boxes = place(points, [90.0] * 12, Box(0, 0, 500, 400))
    marks = [Box(x - 5, y - 5, 10, 10) for x, y in points]
    assert not any(a.meets(b) for i, a in enumerate(boxes) for b in [*boxes[:i], *marks])
    assert all(box.x >= 0 and box.x + box.width <= 500 for box in boxes)


@pytest.mark.parametrize(("low", "high"), [(1e-6, 1e-1), (3.0, 3.0), (0.9, 1.2), (1e-9, 1e9)])
def test_log_axis(low: float, high: float) -> None:
    axis = LogAxis(low, high, 400)
    assert axis.value(axis.pixel(high)) == pytest.approx(high)
    assert 0 < axis.pixel(low) <= axis.pixel(high) < 400
    assert len(axis.ticks()) <= 10
    assert all(low / 1.2 <= tick <= high * 1.2 for tick in axis.ticks())


# Colours


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.1."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_legible_on_what_it_stands(dark: bool) -> None:
    shown = palette.DARK if dark else {}
    pairs = [(ink, fill) for *_, fill, ink in palette.BINS]
    pairs += [(ink, palette.PAPER) for ink in (palette.INK, palette.MUTED)]
    pairs += [(style.ink, palette.PAPER) for style in palette.styles((name, False) for name in algorithms()).values()]
    for ink, fill in pairs:
        assert contrast(shown.get(ink, ink), shown.get(fill, fill)) >= 4.5, (ink, fill)


def test_no_two_peers_look_alike() -> None:
    looks = palette.styles((name, True) for name in peers()).values()
    assert all(style.peer for style in looks)
    assert len({(style.colour, style.shape) for style in looks}) == len(peers())


@pytest.mark.parametrize("name", sorted(algorithms()))
def test_every_algorithm_has_a_family(name: str) -> None:
    assert palette.styles([(name, False)])[name].family not in ("other", "peer")


def test_no_two_contenders_look_alike() -> None:
    names = [(name, False) for name in algorithms()] + [("my_conv", False), ("scipy_fft", True), ("torch_conv2d", True)]
    styles = palette.styles(names)
    assert len({(style.colour, style.shape, style.peer) for style in styles.values()}) == len(names)
    assert styles["my_conv"].family == "other"
    assert [style.peer for style in styles.values()] == sorted(style.peer for style in styles.values())


@pytest.mark.parametrize("dark", [False, True])
def test_members_of_a_family_differ_in_lightness(dark: bool) -> None:
    shown = palette.DARK if dark else {}
    families: dict[str, list[str]] = {}
    for style in palette.styles((name, False) for name in algorithms()).values():
        families.setdefault(style.family, []).append(shown.get(style.colour, style.colour))
    assert len(families["Winograd"]) > 3
    for family, colours in families.items():
        for i, colour in enumerate(colours[: len(palette.SHADES)]):
            assert all(contrast(colour, other) > 1.2 for other in colours[:i]), (family, colour)
            assert contrast(colour, shown.get(palette.PAPER, palette.PAPER)) > 1.3, (family, colour)


# Problems


@pytest.mark.parametrize(
    ("text", "weights", "said", "kind"),
    [
        ("mb1ic64ih56oc128oh56kh3ph1", "dense", "64→128 3×3 @56×56", "3×3, stride 1"),
        ("mb1ic3ih224oc64oh112kh7sh2ph3", "dense", "3→64 7×7 @224×224, stride 2", "5×5 and larger"),
        ("mb2ic8ih9oc8oh5kh3sh2ph1", "dense", "2× 8→8 3×3 @9×9, stride 2", "3×3, strided"),
        ("mb1ic256ih14oc512oh14kh1", "dense", "256→512 1×1 @14×14", "1×1"),
        ("g32mb1ic32ih12oc32oh12kh3ph1", "dense", "32→32 3×3 @12×12, depthwise", "depthwise"),
        ("g4mb1ic32ih12oc32oh12kh3ph1", "dense", "32→32 3×3 @12×12, 4 groups", "grouped"),
        ("mb1ic8ih12oc8oh12kh3ph2dh1", "dense", "8→8 3×3 @12×12, dilation 2", "dilated"),
        ("mb1ic1ih512oc1oh512kh3ph1", "dense", "1→1 3×3 @512×512", "one channel, up to 7×7"),
        ("mb1ic1ih512oc1oh512kh31ph15", "dense", "1→1 31×31 @512×512", "one channel, above 7×7"),
        ("mb1ic1ih512oc1oh512kh15ph7", "rank1", "1→1 15×15 @512×512, rank1", "rank-1 weights"),
        ("mb1ic1iw1000oc1ow937kw64", "dense", "1→1 64 taps @1000", "1-D"),
        ("mb1ic3id6ih7iw5oc4od6oh7ow5kd3kh3kw3pd1ph1pw1", "dense", "3→4 3×3×3 @6×7×5", "3-D"),
        ("--dt=f64 mb1ic2ih8oc2oh6kh3", "dense", "2→2 3×3 @8×8, float64", "3×3, stride 1"),
    ],
)
def test_a_problem_in_words(text: str, weights: str, said: str, kind: str) -> None:
    spec = ConvSpec.parse(text)
    assert shape(spec, weights) == said
    assert problem_class(spec, weights) == kind
    assert kind in CLASSES


def listed(problems: list[report_frame.Problem]) -> pd.DataFrame:
    """The columns that name problems."""
    rows = [(suite, name, str(spec), weights) for suite, name, spec, weights in problems]
    return pd.DataFrame(rows, columns=["suite", "problem_name", "spec", "weights"])


def test_labels_are_unique_in_a_suite() -> None:
    every = [("all", problem.spec.name, problem.spec, problem.weights) for problem in suites.resolve("all")]
    problems = describe(listed(every))
    assert len(problems) == len(every)
    assert problems["label"].is_unique
    assert set(problems["kind"]) <= set(CLASSES)


def test_sweeps_are_found_in_the_problems_themselves() -> None:
    found = {(sweep.suite, sweep.axis): sweep for sweep in sweeps(describe(listed(report_frame.problems())))}
    assert set(found) == {("sweep_size", "image"), ("sweep_filter", "filter"), ("sweep_channels", "channels")}
    assert (found["sweep_channels", "channels"].smallest, found["sweep_channels", "channels"].largest) == (4, 512)
