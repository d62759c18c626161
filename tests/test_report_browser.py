"""The report in a real browser, headless and with the network off: it opens, sorts, filters and answers.

``nox -s browser`` runs these. They need Chromium (Debian: apt-get install chromium; $CHROMIUM names another) and the
playwright package, which drives it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import report_frame

from convbench.report import charts, page, pareto, winner_table

driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: nox -s browser does it")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium, or set $CHROMIUM"),
]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PATIENCE = 60_000


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    return report_frame.frame(report_frame.few()[:7])


@pytest.fixture(scope="module")
def file(cells: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    winners = winner_table(cells)
    drawn = [(figure, charts.svg(figure)) for figure in charts.figures(cells, winners)]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page.html(page.Report("example", cells, winners, drawn, report_frame.MACHINE)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


class Tab:
    """A page opened from its file, and all that went wrong meanwhile."""

    def __init__(self, chromium: Any, file: Path, fragment: str = "", **options: Any) -> None:
        self.context = chromium.new_context(offline=True, **({"viewport": DESKTOP} | options))
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri() + fragment)

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, *error: object) -> None:
        self.context.close()


@pytest.fixture
def tab(chromium: Any, file: Path) -> Iterator[Any]:
    with Tab(chromium, file) as opened:
        yield opened


def column(table: Any, heading: str) -> list[str]:
    """The texts of a column, of the rows that are shown."""
    return table.evaluate(
        """(table, heading) => {
            const at = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.trim() === heading);
            return [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[at].textContent);
        }""",
        heading,
    )


def test_it_opens_without_a_complaint_and_asks_for_nothing(chromium: Any, file: Path) -> None:
    opened = Tab(chromium, file)
    with opened as tab:
        assert tab.locator("figure svg").count() == tab.locator("figure").count() > 10
        assert tab.locator("h1").inner_text().startswith("example")
        tab.locator("form.constraint [name=error]").fill("1e-6")
        tab.locator("form.search [name=text]").fill("winograd")
    assert opened.complaints == []
    assert opened.requests == [file.as_uri()]


def test_a_heading_sorts_numbers_as_numbers(tab: Any) -> None:
    table = tab.locator("#winners-table table")
    heading = table.locator("thead th", has_text="time").first
    values = "table => [...table.tBodies[0].rows].map((row) => Number(row.cells[4].dataset.v)).filter((v) => v > 0)"
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    upward = table.evaluate(values)
    assert upward == sorted(upward)
    assert len(set(upward)) > 5
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert table.evaluate(values) == upward[::-1]


def test_the_table_of_cells_is_filtered(tab: Any, cells: pd.DataFrame) -> None:
    form, table = tab.locator("form.search"), tab.locator("#cell-table")
    assert len(column(table, "algorithm")) == len(cells)
    form.locator("[name=text]").fill("fft_tiled")
    assert set(column(table, "algorithm")) == {"fft_tiled"}
    form.locator("[name=suite]").select_option("images")
    assert set(column(table, "suite")) == {"images"}
    form.locator("[name=text]").fill("")
    form.locator("[name=status]").select_option("skipped")
    expected = ((cells["suite"] == "images") & (cells["status"] == "skipped")).sum()
    assert form.locator("output").inner_text() == f"{expected} of {len(cells)} cells"
    assert set(column(table, "status")) == {"skipped"}


@pytest.mark.parametrize(("error", "mebibytes"), [("", ""), ("4e-7", ""), ("", "0.1"), ("3e-7", "0.5"), ("1e-12", "")])
def test_the_choice_within_limits_is_the_one_that_python_makes(
    tab: Any, cells: pd.DataFrame, error: str, mebibytes: str
) -> None:
    form = tab.locator("form.constraint")
    form.locator("[name=error]").fill(error)
    form.locator("[name=workspace]").fill(mebibytes)
    front = pareto.front_table(cells)
    limits = float(error or "inf"), float(mebibytes or "inf") * 2**20
    chosen = pareto.chosen(front, *limits).set_index(pareto.KEY)["algorithm"]
    expected = [
        chosen.get(key, "none") for key in front[pareto.KEY].drop_duplicates().itertuples(index=False, name=None)
    ]
    assert column(tab.locator("#front-table"), "fastest within the limits") == expected
    assert form.locator("output").inner_text().startswith(f"{len(chosen)} of {len(expected)} problems")


def test_one_of_several_charts_is_shown_and_print_has_them_all(tab: Any) -> None:
    figures, chooser = tab.locator("#pareto figure"), tab.locator("#pareto form.choose select")
    visible = [figures.nth(i).is_visible() for i in range(figures.count())]
    assert visible == [True] + [False] * (figures.count() - 1)
    chooser.select_option("1")
    assert (figures.nth(0).is_visible(), figures.nth(1).is_visible()) == (False, True)
    tab.emulate_media(media="print")
    assert all(figures.nth(i).is_visible() for i in range(figures.count()))
    assert not tab.locator("nav").is_visible()


def test_a_link_leads_to_a_problem(chromium: Any, file: Path, tab: Any) -> None:
    href = tab.locator("#winners-table tbody a").nth(3).get_attribute("href")
    with Tab(chromium, file, fragment=href) as other:
        row = other.locator(f'[id="{href.removeprefix("#")}"]')
        assert row.evaluate("row => row.matches(':target')")
        assert row.evaluate("row => { const box = row.getBoundingClientRect(); return box.top >= 0 && box.top < 900 }")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_follows_the_colour_scheme(chromium: Any, file: Path, scheme: str) -> None:
    with Tab(chromium, file, viewport=PHONE, color_scheme=scheme) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        red, *_ = tab.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (red < 64) == (scheme == "dark")
        paper = tab.locator("#answer svg").first.evaluate(
            "svg => getComputedStyle(svg.querySelector('rect[fill]')).fill.match(/\\d+/g).map(Number)[0]"
        )
        assert (paper < 64) == (scheme == "dark")


def test_without_script_everything_is_there(chromium: Any, file: Path, cells: pd.DataFrame) -> None:
    with Tab(chromium, file, java_script_enabled=False) as tab:
        figures = tab.locator("figure")
        assert all(figures.nth(i).is_visible() for i in range(figures.count()))
        assert tab.locator("#cell-table tbody tr").count() == len(cells)
