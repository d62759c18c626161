"""Which format a file is in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from convbench import suites
from convbench.formats import benchdnn, deepbench, miopen
from convbench.spec import ConvSpec, SpecError

PLAIN = ConvSpec((4, 3, 8, 9), (5, 3, 3, 2), stride=(1, 2), padding=(1, 0))


@pytest.mark.parametrize(
    "text",
    [
        f"# from std::make_tuple( and MIOpenDriver\n{PLAIN}\n",
        f'{PLAIN}n"MIOpenDriver conv"\n',
        f"{PLAIN}  # onednn_verbose,exec\n",
    ],
)
def test_words_in_comments_and_names_tell_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "layers"
    path.write_text(text)
    assert [problem.spec for problem in suites.resolve(str(path))] == [PLAIN]


def test_the_first_telling_line_decides(tmp_path: Path) -> None:
    path = tmp_path / "layers.log"
    path.write_text(f"{deepbench.dumps([PLAIN])}\nMIOpenDriver conv -n 1\n")
    assert [problem.spec for problem in suites.resolve(str(path))] == [PLAIN]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "layers.log"
    path.write_bytes(b"ic3\xff")
    with pytest.raises(SpecError, match="expected UTF-8 text; byte 3 is not"):
        suites.resolve(str(path))


def test_every_format_says_the_same() -> None:
    texts = (deepbench.dumps([PLAIN]), miopen.dumps([PLAIN]), benchdnn.dumps([PLAIN]))
    read = (deepbench.loads, miopen.loads, benchdnn.loads)
    assert all(loads(text) == [PLAIN] for loads, text in zip(read, texts, strict=True))


def test_models_without_the_onnx_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SpecError, match=rf"^{path}: .* not installed; pip install 'convbench\[onnx\]' brings it"):
        suites.resolve(str(path))


def test_a_file_whose_name_starts_like_a_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("g4_layers").write_text(f"{PLAIN}\n")
    assert [problem.spec for problem in suites.resolve("g4_layers")] == [PLAIN]
