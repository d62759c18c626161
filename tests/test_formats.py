"""Lists of problems in other projects' formats: read, written, read again."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from test_spec import specs

from convbench.formats import benchdnn, csv, deepbench, miopen
from convbench.spec import ConvSpec, DescriptorError, SpecError

CONV = "mb1ic3ih8oc4oh6kh3"
SPEC = ConvSpec((1, 3, 8, 8), (4, 3, 3, 3))


def listed(specs):
    """What a file must keep of each problem, its origin included."""
    return [(spec, spec.name, spec.repeats) for spec in specs]


NAMES = st.text(st.characters(exclude_characters='"\r\n', codec="utf-8"), max_size=12)


@st.composite
def symmetric(draw: st.DrawFn) -> ConvSpec:
    """Problems with the same padding on both sides, a name and repeats."""
    spec = draw(specs())
    before = [pair[0] for pair in spec.padding]
    reach = zip(spec.spatial, before, spec.effective_filter, strict=True)
    assume(all(i + 2 * p >= k for i, p, k in reach))
    return spec.replace(
        padding=before, dtype="float32", name=draw(NAMES.map(str.strip)), repeats=draw(st.integers(1, 99))
    )


@pytest.mark.filterwarnings("ignore:.* of padding behind")
@given(st.lists(st.tuples(specs(), NAMES, st.integers(1, 99)), max_size=4))
def test_batch_files_read_back(rows):
    problems = [spec.replace(name=name, repeats=repeats) for spec, name, repeats in rows]
    assert listed(benchdnn.loads(benchdnn.dumps(problems))) == listed(problems)


def test_a_batch_file_with_comments_and_blank_lines(tmp_path):
    path = tmp_path / "shapes"
    path.write_text(f'# (a comment)\n\n  {CONV}n"a # b"  # another\r\n{CONV}n"c*2"\n')
    assert listed(benchdnn.read(path)) == [(SPEC, "a # b", 1), (SPEC, "c", 2)]


def test_options_hold_for_the_lines_after_them():
    text = f"--mb=4\n--dt=f64\n{CONV}\n--reset\n{CONV}\n"
    assert benchdnn.loads(text) == [SPEC.replace(input_shape=(4, 3, 8, 8), dtype="float64"), SPEC]


def test_options_on_a_line_with_a_problem_hold_for_that_line():
    assert benchdnn.loads(f"--dt=f64 {CONV}\n{CONV}\n") == [SPEC.replace(dtype="float64"), SPEC]


@pytest.mark.parametrize(
    ("text", "doubt"),
    [
        ("mb1ic3ih8oc4oh16kh3ph1", "oh is 16, but ih8 kh3 sh1 ph1 dh0 give 8; taken for 9 of padding behind the input"),
        ("mb1ic3ih8iw9oc4oh8ow5kh3kw3ph1pw0sw3", "ow is 5, but iw9 kw3 sw3 pw0 dw0 give 3; taken for 6 of padding"),
        ("mb1ic3iw2oc4ow3kw3pw0", "ow is 3, but iw2 kw3 sw1 pw0 dw0 give 0; taken for 3 of padding"),
    ],
)
def test_an_output_size_that_outruns_the_input_is_doubted(text, doubt, tmp_path):
    path = tmp_path / "layers.txt"
    path.write_text(f"# one\n{text}\n")
    with pytest.warns(UserWarning, match=f"^{path}: {text}: {doubt}") as caught:
        assert benchdnn.read(path) == [ConvSpec.parse(text)]
    assert len(caught) == 1


@pytest.mark.parametrize(
    "text", ["ic3ih8oc4oh8kh3sh1ph0", "ic3ih8oc4kh3ph7", "ic3ih8oc4oh4kh2sh2", "ic3ih8oc4oh9kh3ph1"]
)
def test_asymmetric_padding_is_not_doubted(text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        benchdnn.loads(text)


def test_option_lists_mean_every_combination():
    found = benchdnn.loads(f"--mb=0,5 --dt=f32,f64 {CONV}")
    assert [(spec.N, spec.dtype) for spec in found] == [(1, "float32"), (5, "float32"), (1, "float64"), (5, "float64")]


def test_match_selects_by_text_and_name():
    text = f'--match=conv[12]\n{CONV}n"net:conv1"\n{CONV}n"net:conv3"\n'
    assert [spec.name for spec in benchdnn.loads(text)] == ["net:conv1"]


def test_weights_option():
    entries = list(benchdnn.entries(f"--weights=rank1 {CONV}\n{CONV}"))
    assert [entry.weights for entry in entries] == ["rank1", "dense"]


def test_batch_nests_relative_to_its_file_and_under_the_options_so_far(tmp_path):
    (tmp_path / "sets").mkdir()
    (tmp_path / "shapes").write_text(f"{CONV}\n--mb=7\n{CONV}\n")
    (tmp_path / "sets" / "all").write_text(f"--dt=f64 --batch=../shapes\n{CONV}\n")
    entries = benchdnn.read_entries(tmp_path / "sets" / "all")
    assert [(entry.spec.N, entry.spec.dtype) for entry in entries] == [(1, "float64"), (7, "float64"), (1, "float32")]
    assert [entry.source.name for entry in entries] == ["shapes", "shapes", "all"]


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        (f"{CONV}\n\n  {CONV}x\n", 3, 21, "expected one of the keys"),
        (f"{CONV} kh3\n", 1, 23, "expected ic"),
        ("ic3ih8oc4kh9\n", 1, 10, "at most the padded input"),
        (f"--dt=f64 --cfg=f32 {CONV}", 1, 10, "option --cfg is not known; .*allowed: --batch, --dt"),
        ("--wieghts=rank1", 1, 1, "did you mean '--weights'"),
        ("--mb=-1", 1, 1, "--mb is '-1'; allowed: integers from 0 up"),
        ("--mb=", 1, 1, "--mb is ''"),
        ("--dt=f32,bf16", 1, 1, "--dt is 'f32,bf16'; allowed: f32, f64"),
        ("--weights=rank2", 1, 1, "--weights is 'rank2'; did you mean 'rank1'"),
        ("--match=(", 1, 1, r"--match is '\('"),
        ("\n --batch=missing", 2, 2, "--batch: cannot read .*missing: No such file"),
        ("--batch=shapes", 1, 1, "includes itself"),
        (f"--mb=99999999999999999 {CONV}", 1, 1, "bytes"),
    ],
)
def test_batch_file_errors_carry_file_line_and_column(tmp_path, text, line, column, reason):
    path = tmp_path / "shapes"
    path.write_text(text)
    with pytest.raises(DescriptorError, match=reason) as caught:
        benchdnn.read(path)
    assert str(caught.value).startswith(f"{path}:{line}:{column}: ")


def test_an_error_in_a_nested_file_names_that_file(tmp_path):
    (tmp_path / "inner").write_text("\nicx\n")
    (tmp_path / "outer").write_text("--batch=inner\n")
    with pytest.raises(DescriptorError) as caught:
        benchdnn.read(tmp_path / "outer")
    assert str(caught.value).startswith(f"{tmp_path / 'inner'}:2:3: ")


def test_files_including_each_other_are_refused(tmp_path):
    (tmp_path / "a").write_text("--batch=b\n")
    (tmp_path / "b").write_text("--batch=a\n")
    with pytest.raises(DescriptorError, match="includes itself"):
        benchdnn.read(tmp_path / "a")


def test_text_errors_without_a_file():
    with pytest.raises(DescriptorError, match=r"^<text>:2:3: "):
        benchdnn.loads("\nicx")


@pytest.mark.parametrize("read", [benchdnn.read, csv.read])
def test_files_that_are_not_text(tmp_path, read):
    path = tmp_path / "shapes"
    path.write_bytes(b"ic3\xff")
    with pytest.raises(SpecError, match=f"{path}:1:.* expected UTF-8 text; byte 3 is not"):
        read(path)


@pytest.mark.parametrize("name", ['a"b', "a\nb"])
def test_names_that_no_descriptor_holds(name):
    with pytest.raises(SpecError, match=r"name is .* one line without double quotes"):
        benchdnn.dumps([SPEC.replace(name=name)])


HEADER = (
    "channels,height,width,out_channels,kernel_h,kernel_w,stride_h,stride_w,pad_top,pad_bottom,pad_left,pad_right,"
    "dilation_h,dilation_w,groups,bias,occurrences,example\n"
)


def test_csv_rows():
    text = HEADER + "64,56,48,128,3,5,2,1,0,1,2,3,1,2,32,1,7,net.conv1\n"
    (spec,) = csv.loads(text)
    assert spec == ConvSpec(
        (1, 64, 56, 48), (128, 2, 3, 5), stride=(2, 1), padding=((0, 1), (2, 3)), dilation=(1, 2), groups=32
    )
    assert spec.padding == ((0, 1), (2, 3))
    assert (spec.name, spec.repeats) == ("net.conv1", 7)


@given(st.lists(st.tuples(specs(), NAMES, st.integers(1, 99)), max_size=4))
def test_csv_reads_back(rows):
    flat = [
        spec.replace(input_shape=(1, *spec.input_shape[1:]), dtype="float32", name=name, repeats=repeats)
        for spec, name, repeats in rows
        if spec.ndim == 2
    ]
    again = csv.loads(csv.dumps(flat))
    assert listed(again) == listed(flat)
    assert [spec.padding for spec in again] == [spec.padding for spec in flat]


def test_csv_files(tmp_path):
    path = tmp_path / "layers.csv"
    path.write_text(csv.dumps([SPEC]), encoding="utf-8-sig")
    assert csv.read(path) == [SPEC]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("64,x,56,64,3,3,1,1,1,1,1,1,1,1,1,0,1,a", ":2: height is 'x'; allowed: an integer"),
        ("64,56,56,64,3,3,1,1,1,1,1,1,1,1,1", ":2: occurrences is ''; allowed: an integer"),
        ("64,56,56,64,3,3,1,1,1,1,1,1,1,1,0,0,1,a", ":2: groups is 0; allowed: a divisor of channels, 64"),
        ("64,56,56,64,3,3,0,1,1,1,1,1,1,1,1,0,1,a", ":2: stride is 0"),
        ("64,56,56,64,99,3,1,1,1,1,1,1,1,1,1,0,1,a", ":2: filter is"),
        ("64,-5,56,64,3,3,1,1,1,1,1,1,1,1,1,0,1,a", r":2: input_shape\[2\] is -5"),
    ],
)
def test_csv_errors_carry_file_line_and_column(tmp_path, row, reason):
    path = tmp_path / "layers.csv"
    path.write_text(HEADER + row + "\n")
    with pytest.raises(SpecError, match=f"^{path}{reason}"):
        csv.read(path)


def test_csv_without_columns():
    with pytest.raises(SpecError, match=r"^<text>:1: missing columns: channels, .* kernel_w$"):
        csv.loads("")
    with pytest.raises(SpecError, match=r"missing columns: dilation_h$"):
        csv.loads(HEADER.replace("dilation_h,", ""))
    with pytest.raises(SpecError, match=r"missing columns: pad_bottom, pad_left$"):
        csv.loads(HEADER.replace("pad_bottom,pad_left,", ""))


def test_csv_columns_with_a_default_may_be_left_out():
    least = "height,width,kernel_h,kernel_w,channels,out_channels"
    assert csv.loads(f"{least}\n56,48,3,5,64,128\n") == [ConvSpec((1, 64, 56, 48), (128, 64, 3, 5))]
    assert csv.loads(f"{least},stride_h,stride_w,groups\n56,48,3,5,64,128,2,1,32\n") == [
        ConvSpec((1, 64, 56, 48), (128, 2, 3, 5), stride=(2, 1), groups=32)
    ]
    with pytest.raises(SpecError, match=r"^<text>:2: stride_h is ''; allowed: an integer"):
        csv.loads(f"{least},stride_h,stride_w\n56,48,3,5,64,128\n")


@pytest.mark.parametrize(
    "spec",
    [
        ConvSpec((1, 3, 8), (4, 3, 3)),
        ConvSpec((2, 3, 8, 8), (4, 3, 3, 3)),
        ConvSpec((1, 3, 8, 8), (4, 3, 3, 3), dtype="float64"),
    ],
)
def test_what_no_csv_row_holds(spec):
    with pytest.raises(SpecError, match="allowed in a CSV row: 2-D, batch 1, float32"):
        csv.dumps([spec])


@pytest.mark.parametrize("write", [deepbench.dumps, miopen.dumps])
@pytest.mark.parametrize("name", ["a\nb", " a", "a\r"])
def test_names_that_no_comment_holds(write, name: str) -> None:
    with pytest.raises(SpecError, match=r"name is .* allowed in a comment: one line without blanks at its ends"):
        write([SPEC.replace(name=name)])


@pytest.mark.parametrize("format", [deepbench, miopen])
def test_names_that_a_comment_holds(format):
    problems = [SPEC.replace(name=name) for name in ("a\\", "a # b", "a // b", "a*2", "# a", "*3", "/* a", "| a")]
    problems += [spec.replace(repeats=7) for spec in problems]
    assert listed(format.loads(format.dumps(problems))) == listed(problems)
