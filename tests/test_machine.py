"""Machine constants: arithmetic of the cost helpers, storage that never fails a program, identity without names."""

from __future__ import annotations

import getpass
import json
import platform
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from convbench import machine
from convbench.machine import SHIPPED, cache_dir, describe, fingerprint, load, save
from convbench.spec import ConvSpec

SINGLE = ConvSpec((1, 8, 8, 8), (8, 8, 3, 3))
DOUBLE = SINGLE.replace(dtype="float64")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "machine.json"


def test_flop_time_scales_with_threads_efficiency_and_dtype() -> None:
    one = SHIPPED.flop_time(1e9, SINGLE)
    assert one == 1e9 / SHIPPED.peak_flops["float32"]
    assert SHIPPED.flop_time(1e9, SINGLE, threads=2, efficiency=0.25) == 2 * one
    assert SHIPPED.flop_time(1e9, DOUBLE) == 1e9 / SHIPPED.peak_flops["float64"]


def test_bytes_that_fit_in_l2_move_at_its_speed() -> None:
    assert SHIPPED.byte_time(SHIPPED.l2_bytes) == SHIPPED.l2_bytes / SHIPPED.l2_bandwidth
    assert SHIPPED.byte_time(2 * SHIPPED.l2_bytes) == 2 * SHIPPED.l2_bytes / SHIPPED.bandwidth
    assert SHIPPED.byte_time(2 * SHIPPED.l2_bytes, threads=2) == SHIPPED.l2_bytes / SHIPPED.l2_bandwidth


def test_transforms_slow_down_with_the_peak() -> None:
    slower = SHIPPED.peak_flops["float32"] / SHIPPED.peak_flops["float64"]
    assert SHIPPED.fft_time(1e6, DOUBLE) == pytest.approx(slower * SHIPPED.fft_time(1e6, SINGLE))


def test_saved_constants_come_back(path: Path) -> None:
    measured = replace(SHIPPED, name="this one", bandwidth=9e9, peak_flops={"float32": 1e11, "float64": 4e10})
    assert save(measured, path) == path
    assert load(path) == measured
    assert [file.name for file in path.parent.iterdir()] == ["machine.json"]


def test_without_a_file_the_shipped_constants_serve(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(path) is SHIPPED


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: "",
        lambda record: "{",
        lambda record: "[1, 2]",
        lambda record: json.dumps({**record, "version": 0}),
        lambda record: json.dumps({**record, "fingerprint": "another"}),
        lambda record: json.dumps({**record, "machine": {}}),
        lambda record: json.dumps({**record, "machine": {**record["machine"], "bandwidth": -1}}),
        lambda record: json.dumps({**record, "machine": {**record["machine"], "bandwidth": "fast"}}),
        lambda record: json.dumps({**record, "machine": {**record["machine"], "peak_flops": {"float32": 1e9}}}),
        lambda record: json.dumps({**record, "machine": {**record["machine"], "peak_flops": 1e9}}),
    ],
)
def test_a_spoilt_file_is_named_once_and_ignored(path: Path, spoil) -> None:  # type: ignore[no-untyped-def]
    save(SHIPPED, path)
    path.write_text(spoil(json.loads(path.read_text())))
    with pytest.warns(UserWarning, match="machine.json.*ignored") as caught:
        assert load(path) is SHIPPED
    assert len(caught) == 1


def test_a_directory_in_the_files_place_is_ignored(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.warns(UserWarning, match="ignored"):
        assert load(path) is SHIPPED


def test_a_write_that_fails_leaves_the_old_file_and_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(SHIPPED, path)

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(machine.os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        save(replace(SHIPPED, bandwidth=1.0), path)
    assert load(path) == SHIPPED
    assert [file.name for file in path.parent.iterdir()] == ["machine.json"]


def test_current_is_read_once_and_again_after_a_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVBENCH_CACHE", str(tmp_path))
    machine.current.cache_clear()
    assert machine.current() is SHIPPED
    measured = replace(SHIPPED, bandwidth=9e9)
    save(measured)
    assert machine.current() == measured
    machine.current.cache_clear()


def test_cache_dir_prefers_its_own_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVBENCH_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "convbench"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "convbench"
    monkeypatch.setenv("CONVBENCH_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"


def test_the_description_names_hardware_and_neither_host_nor_user() -> None:
    text = json.dumps(describe())
    assert describe()["cpu"]
    assert describe()["cores"]
    for private in (platform.node(), getpass.getuser()):
        assert private not in text
    assert "/" not in text.replace(describe()["cpu"], "")  # type: ignore[arg-type]


def test_the_fingerprint_is_stable_and_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    here = fingerprint()
    assert here == fingerprint()
    assert len(here) == 12
    monkeypatch.setattr(machine, "describe", lambda: {"cpu": "another", "os": "x"})
    assert fingerprint() != here


def test_cost_models_need_no_numba() -> None:
    code = "import sys, convbench.machine; sys.exit(any(m in sys.modules for m in ('numba', 'scipy', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
