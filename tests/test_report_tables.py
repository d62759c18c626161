"""The tables and sentences of a report say what the cells say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import report_frame
from report_frame import FIRST, SILENT, contest

from convbench.algorithm import direct_error
from convbench.report import charts, findings, tables, titles, winner_table, winner_text
from convbench.report.curves import PALE
from convbench.report.tables import algorithm_table, class_table, class_winners, reason_table
from convbench.select import ADMITTED
from convbench.spec import ConvSpec


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    return report_frame.frame(report_frame.few())


@pytest.fixture(scope="module")
def winners(cells: pd.DataFrame) -> pd.DataFrame:
    return winner_table(cells)


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


def test_few_peers_are_named_beside_the_speed_up_over_them() -> None:
    frame = contest(FIRST | {"algorithm": "direct"}, {"algorithm": "scipy_oaconvolve", "peer": True, "best_ratio": 4.0})
    assert "4.00× as fast as the best peer, `scipy_oaconvolve`, (n = 1)" in " ".join(
        findings.answer(frame, winner_table(frame))
    )


@pytest.mark.parametrize(("over", "said"), [(0.9, False), (1.1, True)])
def test_winners_that_the_selector_passes_over_for_their_bound_are_named(over: float, said: bool) -> None:
    frame = contest(FIRST | {"algorithm": "winograd_6x6_3x3"})
    frame["bound"] = over * ADMITTED * direct_error(ConvSpec.parse(frame["spec"].iloc[0]))
    found = " ".join(findings.details(winner_table(frame)))
    assert ("1 of 1 winners (`winograd_6x6_3x3`) have an error bound above" in found) == said


def test_times_taken_while_the_machine_was_slowed_are_pale(cells: pd.DataFrame, winners: pd.DataFrame) -> None:
    def drawn(slowed: float) -> tuple[set[float], bool]:
        found = charts.figures(cells.assign(slowed=slowed), winners)
        chart = next(figure.chart for figure in found if figure.section == "size").to_dict(validate=False)
        told = {row["opacity"] for rows in chart["datasets"].values() for row in rows if "opacity" in row}
        return told, "while the machine was slowed" in str(chart["title"])

    assert drawn(0.0) == ({1.0}, False)
    assert drawn(1.0) == ({PALE}, True)


def test_a_noisy_run_says_so() -> None:
    steady, noisy = (contest(FIRST | {"rounds": 6, "time_low": low, "time_high": 2 - low}) for low in (0.99, 0.7))
    assert "busy" not in " ".join(findings.answer(steady, winner_table(steady)))
    assert "±30.0%, so the machine was busy" in " ".join(findings.answer(noisy, winner_table(noisy)))


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


def test_one_round_shows_no_spread_and_is_not_called_clear() -> None:
    frame = contest(FIRST | {"rounds": 1})
    winners = winner_table(frame)
    assert "1 round" in winner_text(winners)["time"].item()
    said = " ".join(findings.answer(frame, winners))
    assert "0 of 1 winners are clear" in said
    assert "1 were timed in fewer than 6 rounds" in said


def test_a_range_of_few_rounds_says_of_how_many_it_is() -> None:
    assert winner_text(winner_table(contest(FIRST | {"rounds": 5})))["time"].item().endswith("±10.0% in 5 rounds")
    assert winner_text(winner_table(contest(FIRST | {"rounds": 6})))["time"].item().endswith("±10.0%")


def against_naive(*ratios: float, hopeless: int) -> pd.DataFrame:
    """Winners of as many problems: naive takes so many times as long, or was called once and dropped."""
    mine = FIRST | {"algorithm": "direct"}
    slow = SILENT | {"algorithm": "naive", "status": "hopeless", "first_s": 60.0}
    beside = [{"algorithm": "naive", "best_ratio": ratio} for ratio in ratios] + [slow] * hopeless
    specs = [f"mb1ic4ih{8 + i}oc4oh{8 + i}kh1" for i in range(len(beside))]
    return pd.concat(
        [contest(mine | {"spec": spec}, row | {"spec": spec}) for spec, row in zip(specs, beside, strict=True)],
        ignore_index=True,
    )


def test_means_are_over_problems_that_both_ran_and_say_how_many() -> None:
    frame = against_naive(4.0, 9.0, hopeless=1)
    winners = winner_table(frame)
    assert tables.speed_up(winners, "naive") == (pytest.approx(6.0), 2, 1)
    assert class_winners(winners)["over_naive"].item().said(3) == "6.00× (n = 2)"
    assert "6.00× as fast as `naive` (n = 2, hopeless on 1 more)" in " ".join(findings.answer(frame, winners))
    assert titles.ahead(winners) == "6.00× as fast as naive (n = 2)"
    assert not class_table(frame, winners)["few"].any()


def test_a_mean_over_the_few_problems_that_somebody_is_fit_for_is_no_comparison() -> None:
    frame = against_naive(4.0, hopeless=2)
    winners = winner_table(frame)
    assert class_winners(winners)["over_naive"].item().said(3) == "hopeless on 2"
    assert "as fast as `naive`" not in " ".join(findings.answer(frame, winners))
    assert titles.ahead(winners) == ""
    classes = class_table(frame, winners).set_index("algorithm")
    assert classes["few"].to_dict() == {"direct": False, "naive": True}
    assert "naive was hopeless on 2 problems, and timed and beaten on 1" in [
        figure.words for figure in charts.figures(frame, winners)
    ]
