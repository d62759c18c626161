"""The report: tables that say what the cells say, charts that draw, a page that loads nothing."""

from __future__ import annotations

import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import report_frame
from hypothesis import given
from hypothesis import strategies as st

from convbench import suites, units
from convbench.algorithm import algorithms
from convbench.bench.records import COLUMNS
from convbench.bench.samples import Cell, Membership, Result, SampleFile, Series
from convbench.report import charts, findings, maps, page, palette, winner_table, winner_text, write
from convbench.report.layout import Box, LogAxis, place, spread
from convbench.report.problems import CLASSES, describe, problem_class, shape, sweeps
from convbench.report.tables import algorithm_table, class_table, class_winners, reason_table
from convbench.spec import ConvSpec


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    return report_frame.frame(report_frame.few())


@pytest.fixture(scope="module")
def winners(cells: pd.DataFrame) -> pd.DataFrame:
    return winner_table(cells)


@pytest.fixture(scope="module")
def drawn(cells: pd.DataFrame, winners: pd.DataFrame) -> list[tuple[charts.Figure, str]]:
    return [(figure, charts.svg(figure)) for figure in charts.figures(cells, winners)]


@pytest.fixture(scope="module")
def html(cells: pd.DataFrame, winners: pd.DataFrame, drawn: list[tuple[charts.Figure, str]]) -> str:
    return page.html(page.Report("example", cells, winners, drawn, report_frame.MACHINE))


def contest(*rows: dict[str, object]) -> pd.DataFrame:
    """Cells of one problem: defaults of an untied, timed contender of ours, changed by each row."""
    default = report_frame.frame(report_frame.few()[:1]).iloc[0].to_dict() | {
        "status": "ok",
        "reason": "",
        "peer": False,
    }
    flags = {"tied": False, "winner": False, "own_tied": False, "own_winner": False}
    times = {"time": 1.0, "time_low": 0.9, "time_high": 1.1, "best_ratio": 1.0, "ratio_low": 1.0, "ratio_high": 1.0}
    return pd.DataFrame([default | flags | times | row for row in rows], columns=list(COLUMNS))


def listed(problems: list[report_frame.Problem]) -> pd.DataFrame:
    """The columns that name problems."""
    rows = [(suite, name, str(spec), weights) for suite, name, spec, weights in problems]
    return pd.DataFrame(rows, columns=["suite", "problem_name", "spec", "weights"])


FIRST = {"tied": True, "winner": True, "own_tied": True, "own_winner": True}
SILENT = {"time": np.nan, "time_low": np.nan, "time_high": np.nan, "best_ratio": np.nan, "rounds": 0}


def test_the_made_up_frame_has_every_status(cells: pd.DataFrame) -> None:
    assert set(cells["status"]) == set(maps.STATUSES)


# Numbers in words


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (units.seconds(1.23456e-4), "123 µs"),
        (units.seconds(0.0099999), "10.0 ms"),
        (units.seconds(2.5), "2.50 s"),
        (units.seconds(3e-9), "3.00 ns"),
        (units.seconds(0), "0 ns"),
        (units.seconds(float("nan")), "–"),
        (units.size(1536), "1.50 KiB"),
        (units.size(12), "12 B"),
        (units.size(5 * 2**30), "5.00 GiB"),
        (units.ratio(1.234), "1.23×"),
        (units.ratio(56.7), "57×"),
        (units.ratio(12345.0), "12,000×"),
        (units.ratio(0.00123), "0.0012×"),
        (units.percent(2.314), "231%"),
        (units.percent(0.0043), "0.4%"),
        (units.percent(0.0), "0%"),
        (units.scientific(1.23e-6), "1.2e-06"),
        (units.rate(1.33e11, "flop/s"), "133 Gflop/s"),
        (units.rate(9.5, "B/s"), "9.50 B/s"),
        (units.count(1, "problem"), "1 problem"),
        (units.count(3, "problem"), "3 problems"),
    ],
)
def test_units(said: str, expected: str) -> None:
    assert said == expected


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


@pytest.mark.parametrize("name", sorted(algorithms()))
def test_every_algorithm_has_a_family(name: str) -> None:
    assert palette.styles([(name, False)])[name].family not in ("other", "peer")


def test_no_two_contenders_look_alike() -> None:
    names = [(name, False) for name in algorithms()] + [("my_conv", False), ("scipy_fft", True), ("torch_conv2d", True)]
    styles = palette.styles(names)
    assert len({(style.colour, style.shape, style.peer) for style in styles.values()}) == len(names)
    assert styles["my_conv"].family == "other"
    assert [style.peer for style in styles.values()] == sorted(style.peer for style in styles.values())


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


# Tables


def test_the_winner_is_ours_and_the_best_peer_stands_beside_it() -> None:
    frame = contest(
        {"algorithm": "direct", "best_ratio": 1.5, "own_tied": True, "own_winner": True},
        {"algorithm": "im2col", "best_ratio": 3.0},
        {"algorithm": "torch_conv2d", "peer": True, "tied": True, "winner": True},
        {"algorithm": "scipy_fft", "peer": True, "best_ratio": 2.0},
    )
    (row,) = winner_table(frame).to_dict("records")
    assert (row["winner"], row["runner_up"], row["best_peer"], row["peer_tied"]) == (
        "direct",
        "im2col",
        "torch_conv2d",
        False,
    )
    assert row["over_im2col"] == row["margin"] == 2
    assert row["over_peer"] == pytest.approx(1 / 1.5)
    assert np.isnan(row["over_naive"])


def test_ties_are_named_and_the_margin_is_to_the_first_that_is_not_tied() -> None:
    tied = {"algorithm": "pointwise", "tied": True, "own_tied": True, "best_ratio": 1.01}
    frame = contest(FIRST | {"algorithm": "direct"}, tied, {"algorithm": "im2col", "best_ratio": 1.4})
    (row,) = winner_table(frame).to_dict("records")
    assert (row["winner"], row["tied_with"], row["runner_up"], row["margin"]) == ("direct", "pointwise", "im2col", 1.4)
    assert "1 share first place" in " ".join(findings.answer(frame, winner_table(frame)))


def test_a_noisy_run_says_so() -> None:
    steady, noisy = (contest(FIRST | {"time_low": low, "time_high": 2 - low}) for low in (0.99, 0.7))
    assert "busy" not in " ".join(findings.answer(steady, winner_table(steady)))
    assert "±30.0%. The machine was busy" in " ".join(findings.answer(noisy, winner_table(noisy)))


@pytest.mark.parametrize(("first", "predicted"), [(50.0, 1.0), (np.nan, 50.0)])
def test_a_hopeless_baseline_is_compared_by_its_one_call_or_its_prediction(first: float, predicted: float) -> None:
    hopeless = SILENT | {"algorithm": "naive", "status": "hopeless", "first_s": first, "predicted_s": predicted}
    frame = contest(FIRST | {"algorithm": "direct", "time": 0.5}, hopeless)
    winners = winner_table(frame)
    assert winners["over_naive"].item() == 100
    assert winners["rough"].item() == "naive"
    assert winner_text(winners)["naive"].item() == "≈100×"


def test_a_problem_without_a_time_has_no_winner() -> None:
    frame = contest(SILENT | {"algorithm": "direct", "status": "crashed", "reason": "signal 11"})
    winners = winner_table(frame)
    assert winners["winner"].item() == ""
    assert winner_text(winners)["winner"].item() == "nothing was timed"
    assert findings.answer(frame, winners)[0] == "Nothing was timed: none of 1 cell has a sample."
    assert [figure.name for figure in charts.figures(frame, winners)] == ["applicability"]


def test_algorithms_and_classes_count_what_the_cells_say(cells: pd.DataFrame, winners: pd.DataFrame) -> None:
    table = algorithm_table(cells, winners).set_index("algorithm")
    assert table["wins"].sum() == len(winners)
    assert not table.loc[table["peer"], "wins"].any()
    assert table["ran"].to_dict() == cells.groupby("algorithm")["time"].count().to_dict()
    classes = class_table(cells, winners)
    assert classes["wins"].sum() == len(winners)
    assert not set(classes["algorithm"]) & set(report_frame.PEERS)
    assert class_winners(winners)["problems"].sum() == len(winners)


def test_reasons_that_differ_in_numbers_are_one_row_and_the_gravest_come_first() -> None:
    skipped = SILENT | {"algorithm": "python_loops", "status": "skipped"}
    frame = contest(
        skipped | {"reason": "python_loops refuses more than 1,000,000 multiply-adds; this problem has 1,806,336"},
        skipped | {"reason": "python_loops refuses more than 1,000,000 multiply-adds; this problem has 9,216,000"},
        SILENT | {"algorithm": "direct", "status": "failed", "reason": "error 3e-2 exceeds the bound 2e-6"},
    )
    table = reason_table(frame)
    assert list(table["problems"]) == [1, 2]
    assert table["status"].iloc[0] == "failed"
    assert table["reason"].iloc[1].endswith("1,806,336")


def test_a_problem_of_two_suites_counts_once(cells: pd.DataFrame) -> None:
    twice = pd.concat([cells, cells.assign(suite="again")], ignore_index=True)
    winners = winner_table(twice)
    report = page.Report("twice", twice, winners, [], {})
    assert len(winners) == 2 * len(report_frame.few())
    assert "Of 14 problems, " in page.markdown(report)
    (overview,) = (figure for figure in charts.figures(twice, winners) if figure.name == "winners")
    assert "of 14 problems" in overview.words


# Charts


def test_every_chart_is_drawn_with_what_it_says(drawn: list[tuple[charts.Figure, str]]) -> None:
    names = [figure.name for figure, _ in drawn]
    assert len(set(names)) == len(names)
    assert {"winners", "speedup_im2col", "speedup_naive", "error", "applicability", "map_images", "peak_images"} <= set(
        names
    )
    assert any(name.startswith("time_sweep_size") for name in names)
    assert {figure.section for figure, _ in drawn} == {"answer", *page.SECTIONS}
    for figure, svg in drawn:
        root = ElementTree.fromstring(svg)
        texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
        assert len(texts) > 5, figure.name
        assert not {"null", "undefined", "Infinity"} & set(texts), figure.name
        assert "NaN" not in svg, figure.name
        assert float(root.attrib["width"]) < 1400, figure.name
        assert float(root.attrib["height"]) < 1100, figure.name


def test_names_in_charts_are_never_cut(drawn: list[tuple[charts.Figure, str]], winners: pd.DataFrame) -> None:
    (images,) = (svg for figure, svg in drawn if figure.name == "map_images")
    texts = {element.text for element in ElementTree.fromstring(images).iter("{http://www.w3.org/2000/svg}text")}
    assert set(winners.loc[winners["suite"] == "images", "label"]) <= texts
    assert not [text for text in texts if text and "…" in text]


def test_a_long_suite_is_drawn_in_parts() -> None:
    many = [("long", "", ConvSpec((1, 4, n, n), (4, 4, 3, 3)), "dense") for n in range(8, 48)]
    frame = report_frame.frame(many)
    names = [figure.name for figure in charts.figures(frame, winner_table(frame))]
    assert {"map_long_1", "map_long_2"} <= set(names)
    assert "map_long_3" not in names


def test_png_is_the_same_picture_made_smaller(drawn: list[tuple[charts.Figure, str]]) -> None:
    svg = drawn[0][1]
    before = charts.vl_convert.svg_to_png(svg, scale=1.5)
    after = charts.png(svg)
    assert after[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(after) < len(before)
    assert pixels(after) == pixels(before)


def pixels(image: bytes) -> bytes:
    """The filtered scan lines of a PNG, every checksum verified."""
    data, at = b"", 8
    while at < len(image):
        (length,) = struct.unpack_from(">I", image, at)
        body = image[at + 4 : at + 8 + length]
        assert struct.unpack_from(">I", image, at + 8 + length)[0] == zlib.crc32(body)
        data += body[4:] if body[:4] == b"IDAT" else b""
        at += 12 + length
    return zlib.decompress(data)


SMALL = {
    "one algorithm": contest(FIRST | {"algorithm": "direct"}),
    "only peers": contest({"algorithm": "scipy_fft", "peer": True, "tied": True, "winner": True}),
    "exact": contest(
        FIRST | {"algorithm": "direct", "error": 0.0}, {"algorithm": "im2col", "best_ratio": 2.0, "error": 0.0}
    ),
    "unknown": contest(FIRST | {"algorithm": "my <b>conv</b> | mine"}, {"algorithm": "im2col", "best_ratio": 2.0}),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_runs_have_a_report_too(name: str) -> None:
    frame = SMALL[name]
    winners = winner_table(frame)
    drawn = [(figure, charts.svg(figure)) for figure in charts.figures(frame, winners)]
    report = page.Report(name, frame, winners, drawn, {})
    assert "<b>" not in page.html(report)
    table = [line for line in page.markdown(report).splitlines() if line.startswith("| ")]
    assert table
    assert all(line.endswith("|") for line in table)


# The page


class Page(HTMLParser):
    """What a browser would fetch, and every id and link inside the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name == "href" and tag == "a":
                self.links.append(value or "")
            elif name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                self.fetched.append(f"{tag} {name}={value}")


def test_the_page_loads_nothing_and_its_links_lead_somewhere(html: str) -> None:
    parsed = Page(html)
    assert not [request for request in parsed.fetched if not request.split("=")[1].startswith("#")]
    assert not re.search(r"url\((?!#)|@import|<link", html)
    assert "default-src 'none'" in html
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert {link.removeprefix("#") for link in parsed.links} <= set(parsed.ids)
    assert len(html) < 3e6


def test_the_page_says_everything(html: str, cells: pd.DataFrame, winners: pd.DataFrame) -> None:
    for sentence in findings.answer(cells, winners):
        assert str(page._code(sentence)) in html
    for label in winners["label"]:
        assert label in html
    for reason in reason_table(cells)["reason"]:
        assert reason in html
    assert html.count("<summary>command</summary>") == len(cells)
    assert report_frame.MACHINE["cpu_model_name"] in html
    assert (
        html.index('id="answer"')
        < html.index('id="winners-table"')
        < html.index('id="map"')
        < html.index('id="machine"')
    )
    assert "100% of the peak" in html


def test_svgs_in_one_page_do_not_share_ids() -> None:
    figure = charts.Figure("map", "map", 'a "quoted" & title', None)  # type: ignore[arg-type]
    text = page._inline(
        figure, f'<svg width="1"><clipPath id="clip0"/><g font-family="{palette.FONT}" clip-path="url(#clip0)"/></svg>'
    )
    assert 'id="map-clip0"' in text
    assert "url(#map-clip0)" in text
    assert "font-family" not in text
    assert 'aria-label="a &#34;quoted&#34; &amp; title"' in text


# From the record to the files


def record(directory: Path) -> None:
    """A run of one problem: two of ours, a peer, and two that did not run."""

    def series(seconds: float) -> dict[int, Series]:
        return {0: Series([seconds * (1 + i / 500) for i in range(9)], 3, [1e-3] * 9)}

    work = {
        "flop": 4.7e6,
        "min_bytes": 180_000,
        "workspace_bytes": 4096,
        "error": 1e-7,
        "bound": 1e-6,
        "prepare_s": 1e-4,
    }
    result = Result(
        spec="mb1ic64ih8oc64oh8kh3ph1",
        weights="dense",
        members=[Membership("resnet50", "resnet50:conv1"), Membership("mine")],
        cells=[
            Cell("direct", "ok", facts=work | {"peer": 0}, series=series(2e-3)),
            Cell("im2col", "ok", facts=work | {"peer": 0}, series=series(3e-3)),
            Cell("torch_conv2d", "ok", facts=work | {"peer": 1}, series=series(2.5e-3)),
            Cell("naive", "hopeless", "predicted 3 s, 1500× the best", {"predicted_s": 3.0, "peer": 0}),
            Cell("pointwise", "skipped", "pointwise needs a filter of one tap"),
        ],
        probes={"fma": {0: Series([1e-3] * 9)}, "stream": {0: Series([2e-3] * 9)}},
        probe_facts={"fma": {"probe_flop": 1e8}, "stream": {"probe_bytes": 2e7}},
        facts={"threads": 1, "cache": "hot", "cpu_model_name": "Example CPU", "numpy_version": "2.4.0"},
    )
    SampleFile(directory / "samples.json").add(result)


def test_a_run_becomes_a_report(tmp_path: Path) -> None:
    record(tmp_path)
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / "map_of_an_earlier_run.svg").write_text("stale")
    assert write(tmp_path) == tmp_path / "report.html"
    assert {path.name for path in tmp_path.iterdir()} == {
        "samples.json",
        "cells.csv",
        "report.md",
        "report.html",
        "charts",
    }
    pictures = {path.name for path in (tmp_path / "charts").iterdir()}
    assert {"winners.png", "winners.svg", "map_mine.png"} <= pictures
    assert "map_of_an_earlier_run.svg" not in pictures
    assert {Path(name).stem for name in pictures if name.endswith("png")} == {
        Path(n).stem for n in pictures if n.endswith("svg")
    }
    text = (tmp_path / "report.md").read_text()
    assert "Of 1 problem, the fastest of ours is `direct` on 1." in text
    assert "cpu_model_name: Example CPU" in text
    assert "pointwise needs a filter of one tap" in text
    assert all((tmp_path / path).is_file() for path in re.findall(r"\]\((charts/[^)]*)\)", text))
    assert len(pd.read_csv(tmp_path / "cells.csv")) == 10


def test_a_report_needs_a_record(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"samples\.json"):
        write(tmp_path)
    assert not list(tmp_path.iterdir())
