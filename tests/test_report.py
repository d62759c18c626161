"""The report: charts that draw, a page that loads nothing, files beside the record."""

from __future__ import annotations

import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
import report_frame
from report_frame import FIRST, contest

from convbench import drawing
from convbench.bench.samples import Cell, Membership, Result, SampleFile, Series
from convbench.report import charts, findings, maps, page, palette, winner_table, write
from convbench.report.tables import reason_table
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


def test_the_made_up_frame_has_every_status(cells: pd.DataFrame) -> None:
    assert set(cells["status"]) == set(maps.STATUSES)


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


def test_text_in_charts_has_a_dark_counterpart_or_is_legible_in_both(drawn: list[tuple[charts.Figure, str]]) -> None:
    known = {*palette.DARK, *(ink for *_, ink in palette.BINS)}
    for figure, svg in drawn:
        texts = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
        assert {text.attrib["fill"] for text in texts if text.text} <= known, figure.name


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
    before = drawing.vl_convert.svg_to_png(svg, scale=1.5)
    after = drawing.png(svg)
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
