"""Roofline, winner maps, fronts, regret, break-even and totals of networks: what they say is what the cells say."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import report_frame
from hypothesis import given
from hypothesis import strategies as st
from report_frame import BANDWIDTH, FIRST, PEAK, SILENT, contest

from convbench import suites
from convbench.report import costs, crossover, networks, pareto, regret, roofline, titles, winner_table
from convbench.report.problems import KEY, axis_title
from convbench.spec import ConvSpec


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    return report_frame.frame()


@pytest.fixture(scope="module")
def winners(cells: pd.DataFrame) -> pd.DataFrame:
    return winner_table(cells)


# Roofline


def test_the_ceilings_are_those_of_the_probes(cells: pd.DataFrame) -> None:
    found = roofline.roofs(cells)
    assert set(found) == {"float32", "float64"}
    for roof in found.values():
        assert roof.peak == pytest.approx((PEAK,) * 3)
        assert roof.bandwidth == pytest.approx((BANDWIDTH,) * 3)
        assert roof.ridge == pytest.approx(PEAK / BANDWIDTH)
        assert list(roof.at(pd.Series([1.0, 1e6]))) == pytest.approx([BANDWIDTH, PEAK])


def test_every_winner_and_best_peer_has_its_place_under_the_roof(cells: pd.DataFrame, winners: pd.DataFrame) -> None:
    table, dense = roofline.roofline_table(cells, winners), winners[winners["weights"] != "rank1"]
    assert len(dense) < len(winners), "how much is executed for weights of rank 1 is not in a plan"
    assert len(table) == (dense["winner"] != "").sum() + (dense["best_peer"] != "").sum()
    row = table.iloc[0]
    spec = ConvSpec.parse(winners["spec"].iloc[0])
    assert row["intensity"] == pytest.approx(spec.arithmetic_intensity)
    assert row["nominal"] == pytest.approx(spec.flop / winners["time"].iloc[0])
    assert row["of_roof"] == pytest.approx(row["nominal"] / min(PEAK, BANDWIDTH * row["intensity"]))


# Winner maps


def grid(winner: dict[tuple[int, int], str]) -> pd.DataFrame:
    """Winners of one-channel problems by (image side, filter side); `a+b` is a tie that `a` wins."""
    rows = []
    for (image, taps), names in winner.items():
        first, _, tied = names.partition("+")
        spec = str(ConvSpec((1, 1, image, image), (1, 1, taps, taps), padding=taps // 2))
        rows.append(
            {"suite": "grid", "spec": spec, "kind": "one channel, up to 7×7", "winner": first, "tied_with": tied}
        )
    return pd.DataFrame(rows)


def test_a_winner_map_has_cells_ties_and_thresholds() -> None:
    found = grid({(8, 3): "a", (8, 5): "a+b", (16, 3): "a", (16, 5): "b", (16, 7): "c"})
    (drawn,) = (m for m in crossover.winner_maps(found) if m.kind == "one channel")
    assert (drawn.across, drawn.upright, drawn.columns, drawn.rows) == ("image", "filter", ("8", "16"), ("3", "5", "7"))
    assert {at: cell.winner for at, cell in drawn.cells.items()} == {
        (0, 0): "a", (0, 1): "a", (1, 0): "a", (1, 1): "b", (1, 2): "c",
    }  # fmt: skip
    assert [at for at, cell in drawn.cells.items() if not cell.sure] == [(0, 1)]
    assert sorted(drawn.thresholds()) == [(1, 1, 2, 1), (1, 2, 2, 2)], "none beside the tie"
    text = crossover.map_text(drawn).frame
    assert list(text.iloc[:, 0]) == ["7", "5", "3"]
    assert text["8"].tolist() == ["", "a (tied: b)", "a"]


def test_several_problems_in_a_cell_are_counted() -> None:
    several = pd.concat([grid({(8, 3): "a", (16, 3): "a", (8, 5): "a", (16, 5): name}) for name in ("a", "a", "b")])
    (drawn,) = crossover.winner_maps(several.reset_index(drop=True))
    cell = drawn.cells[1, 1]
    assert (cell.winner, cell.wins, cell.problems, cell.sure) == ("a", 2, 3, False)
    assert "a 2 of 3" in set(crossover.map_text(drawn).frame["16"])


def test_many_sizes_share_rows_by_powers_of_two() -> None:
    bins, names = crossover._bins(pd.Series([7.0, 8, 9, 12, 14, 15, 16, 20, 24, 31, 32]))
    assert names == ("7", "8–15", "16–31", "32")
    assert list(bins) == [0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3]


def test_the_suite_of_two_parameters_fills_both_of_its_maps() -> None:
    found = [(problem.suite, "", problem.spec, problem.weights) for problem in suites.load("sweep_map")]
    drawn = {(m.kind, m.across, m.upright): m for m in crossover.winner_maps(winner_table(report_frame.frame(found)))}
    photos, layers = drawn["one channel", "image", "filter"], drawn["3×3, stride 1", "image", "channels"]
    assert (len(photos.cells), len(layers.cells)) == (4 * 5, 4 * 4)
    assert all(cell.problems == 1 for cell in photos.cells.values())


def test_problems_along_a_line_make_no_map() -> None:
    assert not list(crossover.winner_maps(grid({(8 * i, 3): "a" for i in range(1, 9)})))


# Fronts


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=12))
def test_the_front_answers_every_pair_of_limits(points: list[tuple[int, int, int]]) -> None:
    on_front = pareto._front(np.array(points))
    front = [point for point, kept in zip(points, on_front, strict=True) if kept]
    for error, size in itertools.product(range(-1, 5), repeat=2):
        best, found = (
            min((t for t, e, s in some if e <= error and s <= size), default=None) for some in (points, front)
        )
        assert found == best


def test_the_winner_comes_first_though_another_is_as_fast() -> None:
    shared = {"own_tied": True, "tied": True, "error": 1e-6}
    table = contest(
        shared | {"algorithm": "direct", "time": 1.0, "workspace_bytes": 100},
        shared | {"algorithm": "pointwise", "time": 1.01, "best_ratio": 1.01, "workspace_bytes": 10} | FIRST,
        {"algorithm": "fft", "time": 2.0, "best_ratio": 2.0, "error": 4e-7, "workspace_bytes": 50},
        {"algorithm": "im2col", "time": 2.0, "best_ratio": 2.0, "error": 2e-6, "workspace_bytes": 500},
        {"algorithm": "torch_conv2d", "time": 0.5, "error": 0.0, "peer": True},
    )
    front = pareto.front_table(table)
    assert list(front.loc[front["on_front"], "algorithm"]) == ["pointwise", "direct", "fft"]
    assert pareto.chosen(front)["algorithm"].item() == "pointwise"
    assert pareto.chosen(front, max_error=5e-7)["algorithm"].item() == "fft"
    assert pareto.chosen(front, max_error=1e-9).empty
    assert pareto.half_the_error(front).tolist() == pytest.approx([2.0 / 1.01])


# Regret


def bounded(*rows: dict[str, object]) -> pd.DataFrame:
    return contest(*({"bound": 1e-7, "error": 1e-8} | row for row in rows))


def test_regret_is_the_time_of_what_is_predicted_fastest_over_that_of_the_best() -> None:
    table = regret.regret_table(
        bounded(
            FIRST | {"algorithm": "direct", "time": 1.0, "predicted_s": 3.0},
            {"algorithm": "im2col", "time": 4.0, "best_ratio": 4.0, "predicted_s": 5.0},
            {"algorithm": "kn2row", "time": 2.0, "best_ratio": 2.0, "predicted_s": 1.0},
            {"algorithm": "winograd_6x6_3x3", "time": 0.1, "best_ratio": 0.1, "predicted_s": 0.1, "bound": 1.0},
            {"algorithm": "torch_conv2d", "time": 0.1, "predicted_s": 0.1, "peer": True},
        )
    )
    found = table.set_index("rule")["regret"].to_dict()
    assert found == pytest.approx({"auto": 2.0, "always direct": 1.0, "always im2col": 4.0})
    assert "winograd" not in " ".join(table["algorithm"]), "its bound is above what auto admits"


def test_a_hopeless_choice_counts_with_its_one_call() -> None:
    table = regret.regret_table(
        bounded(
            FIRST | {"algorithm": "direct", "time": 1.0, "predicted_s": 3.0},
            SILENT | {"algorithm": "im2col", "status": "hopeless", "first_s": 30.0, "predicted_s": 1.0},
        )
    )
    row = table[table["rule"] == "auto"].iloc[0]
    assert (row["regret"], row["rough"]) == (30.0, True)
    summary = regret.regret_summary(table, winner_table(bounded(FIRST | {"algorithm": "direct"})))
    assert summary["took"].iloc[0] == "im2col, hopeless there"


def test_occurrences_weigh(cells: pd.DataFrame, winners: pd.DataFrame) -> None:
    table = regret.regret_table(cells).assign(regret=2.0, repeats=1)
    table.loc[table.index[0], ["regret", "repeats"]] = (16.0, len(table[table["rule"] == "auto"]) - 1)
    row = regret.regret_summary(table, winners).iloc[0]
    assert row["weighted"] == pytest.approx(math.sqrt(32.0))
    assert row["mean"] < row["weighted"]


# Costs


@given(*[st.floats(1e-6, 1e3)] * 4)
def test_break_even_is_the_first_call_at_which_it_is_not_dearer(a: float, t: float, b: float, u: float) -> None:
    n = costs.break_even(a, t, b, u)
    if math.isinf(n):
        assert t >= u
        return
    assert a + n * t <= (b + n * u) * (1 + 1e-9)
    assert n == 1 or a + (n - 1) * t > (b + (n - 1) * u) * (1 - 1e-9)


def test_each_start_pays_its_own_cost() -> None:
    mine = {"compile_s": 9.0, "cache_load_s": 1.9, "prepare_s": 0.1, "first_s": 1.0, "time": 1.0}
    theirs = {"compile_s": 0.0, "cache_load_s": 0.0, "prepare_s": 0.0, "first_s": 2.0, "time": 2.0, "best_ratio": 2.0}
    frame = contest(FIRST | {"algorithm": "direct"} | mine, {"algorithm": "scipy_fft", "peer": True} | theirs)
    table = costs.break_even_table(frame, winner_table(frame))
    assert table[["new_machine", "new_process", "loaded"]].iloc[0].tolist() == [10, 2, 1]
    words = next(costs.break_even_text(table).rows())
    assert [text for text, _ in words[-3:]] == ["10 calls", "2 calls", "at once"]
    assert "10 calls on a new machine, 2 calls in a new process, at once once loaded" in costs.paid_back(table)
    alone = frame[frame["algorithm"] == "direct"]
    assert costs.break_even_table(alone, winner_table(alone)).empty


# Networks


def test_totals_count_every_layer_as_often_as_it_occurs(cells: pd.DataFrame, winners: pd.DataFrame) -> None:
    table = networks.network_table(cells, winners, regret.regret_table(cells))
    mine = winners[winners["suite"] == "resnet50"].merge(cells, left_on=[*KEY, "winner"], right_on=[*KEY, "algorithm"])
    row = table[(table["suite"] == "resnet50") & (table["algorithm"] == networks.BEST)].iloc[0]
    assert row["seconds"] == pytest.approx((mine["time_y"] * mine["repeats"]).sum())
    assert row["occurrences"] == mine["repeats"].sum() > len(mine)
    assert (row["share"], row["behind"], row["partial"]) == (1.0, 1.0, False)
    assert set(table["suite"]) == {"resnet50", "vgg16", "mobilenetv2"}, "sweeps and photos are not networks"


def test_a_contender_without_some_layers_is_compared_on_those_it_has(
    cells: pd.DataFrame, winners: pd.DataFrame
) -> None:
    table = networks.network_table(cells, winners, regret.regret_table(cells))
    partial = table[table["partial"]]
    assert (partial["share"] >= networks.LEAST).all()
    assert (partial["share"] < 1).all()
    assert np.isfinite(table["behind"]).all()
    assert table.groupby("suite")["algorithm"].first().eq(networks.BEST).all()


def test_a_part_of_a_network_is_called_a_part(cells: pd.DataFrame, winners: pd.DataFrame) -> None:
    network = suites.load("resnet50")
    whole = report_frame.frame([(p.suite, p.spec.name, p.spec, p.weights) for p in network])
    table = networks.network_table(whole, winner_table(whole), regret.regret_table(whole))
    assert (table["own"] == len(network)).all()
    assert titles.whole("resnet50", table).startswith("resnet50, all 53 layers: ")
    table = networks.network_table(cells, winners, regret.regret_table(cells))
    row = table[table["suite"] == "resnet50"].iloc[0]
    assert row["layers"] == row["of"] < row["own"] == len(network)
    said = f"Part of resnet50, {row['occurrences']} of its 53 layers: "
    assert titles.whole("resnet50", table[table["suite"] == "resnet50"]).startswith(said)
    mine = cells[cells["suite"] == "resnet50"].assign(suite="mine")
    table = networks.network_table(mine, winner_table(mine), regret.regret_table(mine))
    assert (table["own"] == table["of"].max()).all(), "of a user's list nobody knows more than the run holds"


def test_sides_of_images_that_are_no_squares_say_what_they_are(cells: pd.DataFrame, winners: pd.DataFrame) -> None:
    titles = {found.kind: found.titles for found in crossover.winner_maps(winners) if found.across == "image"}
    assert titles
    assert all(title[0] == "image side √(H·W), pixels" for title in titles.values())
    assert axis_title("image", 1) == "samples of the signal"
