"""Tables: what is found out about a file is true, and what is wrong is told with its line and column."""

import json
import os
import time
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from damage import damage
from hypothesis import given
from hypothesis import strategies as st

from layerscope.core.data import csv as csv_module
from layerscope.core.data import table
from layerscope.core.data.base import DataSet, Outline
from layerscope.core.data.csv import Csv, Preview, preview
from layerscope.core.errors import InputError
from layerscope.core.fields import build
from layerscope.core.network import plan

BEANS = Path(__file__).parents[3] / "sample_data" / "beans.csv"

PLAIN = """width,height,color,kind
1.5,2,red,a
2.5,3,blue,b
3.5,4,red,a
4.5,5,green,b
5.5,6,red,a
6.5,7,red,b
"""


def written(folder: Path, text: str | bytes, encoding: str = "utf-8", **settings: Any) -> Csv:
    (folder / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return Csv(path="t.csv", **settings)


def seen(folder: Path, text: str | bytes, encoding: str = "utf-8", **settings: Any) -> Preview:
    return preview(written(folder, text, encoding, **settings), folder)


def refused(data_set: Csv, folder: Path) -> str:
    """What is said of a table that cannot be read: the same by all who ask, in one line."""
    said = []
    for ask in (lambda: data_set.outline(folder), lambda: data_set.collect(0, folder)):
        with pytest.raises(InputError) as caught:
            ask()
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "\n" not in said[0]
    return said[0]


def test_a_plain_table(tmp_path: Path) -> None:
    data_set = written(tmp_path, PLAIN)
    samples = data_set.collect(0, tmp_path)
    assert samples.x.tolist()[:3] == [[1.5, 2, 1, 0, 0], [2.5, 3, 0, 1, 0], [3.5, 4, 1, 0, 0]]
    assert samples.y.tolist() == [0, 1, 0, 1, 0, 1]
    assert samples.classes == ("a", "b")
    assert not samples.gaps
    assert data_set.outline(tmp_path) == Outline((5,), 2, ("a", "b"))


def test_a_preview_shows_what_was_found(tmp_path: Path) -> None:
    found = seen(tmp_path, PLAIN)
    assert (found.encoding, found.delimiter, found.decimal, found.header) == ("UTF-8", "comma", "point", True)
    assert [(c.name, c.kind, c.use, c.missing, c.different) for c in found.columns] == [
        ("width", "number", "input", 0, 0),
        ("height", "number", "input", 0, 0),
        ("color", "text", "input", 0, 3),
        ("kind", "text", "target", 0, 2),
    ]
    assert found.first_rows[0] == ("1.5", "2", "red", "a")
    assert (found.rows, found.samples, found.problems) == (6, 6, ())
    assert found.outline == Outline((5,), 2, ("a", "b"))
    assert found.target == "kind"
    assert (found.proposal.target, found.proposal.task) == ("kind", "classification")
    assert msgspec.json.decode(msgspec.json.encode(found))["samples"] == 6


WRITTEN = {
    "comma": PLAIN,
    "semicolon": PLAIN.replace(",", ";"),
    "tab": PLAIN.replace(",", "\t"),
    "bar": PLAIN.replace(",", "|"),
    "space": PLAIN.replace(",", " "),
    "wide space": PLAIN.replace(",", "   ").replace("\n", "  \n"),
    "space after comma": PLAIN.replace(",", ", "),
    "decimal comma": PLAIN.replace(",", ";").replace(".", ","),
    "decimal comma and tab": PLAIN.replace(",", "\t").replace(".", ","),
    "decimal comma in quotes": "\n".join(
        ",".join(f'"{cell.replace(".", ",")}"' for cell in line.split(",")) for line in PLAIN.splitlines()
    ),
    "quotes": "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in PLAIN.splitlines()),
    "Windows line ends": PLAIN.replace("\n", "\r\n"),
    "old Macintosh line ends": PLAIN.replace("\n", "\r"),
    "blank lines": PLAIN.replace("\n", "\n\n"),
    "no last line end": PLAIN.rstrip(),
    "told to Excel": "sep=;\n" + PLAIN.replace(",", ";"),
    "no header": PLAIN.split("\n", 1)[1],
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("how", WRITTEN)
def test_however_a_table_is_written_it_says_the_same(how: str, encoding: str, tmp_path: Path) -> None:
    expected = written(tmp_path, PLAIN.replace("green", "grün")).collect(0, tmp_path)
    data_set = written(tmp_path, WRITTEN[how].replace("green", "grün"), encoding)
    samples = data_set.collect(0, tmp_path)
    assert np.array_equal(samples.x, expected.x)
    assert np.array_equal(samples.y, expected.y)
    assert samples.classes == expected.classes
    found = preview(data_set, tmp_path)
    assert found.header == (how != "no header")
    assert found.decimal == ("comma" if "decimal" in how else "point")
    assert found.columns[0].name == ("1" if how == "no header" else "width")
    assert [row[2] for row in found.first_rows] == ["red", "blue", "red", "grün", "red", "red"]
    assert found.encoding == {"utf-16": "UTF-16", "cp1252": "Windows-1252"}.get(encoding, "UTF-8")


def test_bytes_that_windows_does_not_know_are_latin_1(tmp_path: Path) -> None:
    found = seen(tmp_path, PLAIN.encode().replace(b"green", b"gr\xfcn\x81"))
    assert found.encoding == "Latin-1"
    assert found.first_rows[3][2] == "grün\x81"


def test_an_accent_at_the_very_end_of_a_large_file_still_decides(tmp_path: Path) -> None:
    text = PLAIN + "1.5,2,red,a\n" * 150_000
    assert seen(tmp_path, text.encode() + b"1.5,2,red,caf\xe9").encoding == "Windows-1252"
    assert seen(tmp_path, text + "1.5,2,red,café").columns[3].different == 3


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("1,2\n3,4\n5,6\n", False),
        ("a,b\n3,4\n5,6\n", True),
        ("a,1\n3,4\n5,6\n", False),
        ("name,kind\nx,u\ny,v\nz,u\n", True),
        ("x,u\ny,v\nx,u\nz,v\n", False),
        ("a,b\n", False),
        ("a,NA\n1,2\n3,4\n", True),
    ],
)
def test_the_first_row_is_names_or_data(text: str, header: bool, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert table.look(tmp_path / "t.csv").header == header
    assert table.look(tmp_path / "t.csv", header="yes").header
    assert not table.look(tmp_path / "t.csv", header="no").header


def test_what_is_told_is_not_guessed(tmp_path: Path) -> None:
    found = seen(tmp_path, "2019;2020;2021\n1,5;2,5;0\n2,5;1,5;1\n", header="yes", decimal="comma")
    assert [column.name for column in found.columns] == ["2019", "2020", "2021"]
    assert found.rows == 2
    found = seen(tmp_path, "a b;c d\n1 2;3 4\n", delimiter="space")
    assert [column.name for column in found.columns] == ["a", "b;c", "d"]


def test_thousands_in_quotes_are_not_taken_for_decimals(tmp_path: Path) -> None:
    said = refused(written(tmp_path, 'price,y\n"1,234",0\n"5,678",1\n12,0\n13,1\n14,1\n'), tmp_path)
    assert '"1,234" is not a number in a file with a decimal point' in said
    assert "line 2" in said


def test_columns_without_a_name_or_with_the_same_one_get_one(tmp_path: Path) -> None:
    found = seen(tmp_path, "a,,a,b\n1,2,3,0\n4,5,6,1\n7,8,9,0\n1,1,1,1\n")
    assert [column.name for column in found.columns] == ["a", "2", "a (2)", "b"]


# --- target and task


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("a,b,c", "c"),
        ("species,b,c", "species"),
        ("a,Target,c", "Target"),
        ("label,b,y", "y"),
    ],
)
def test_the_target_is_a_telling_column_or_the_last(header: str, expected: str, tmp_path: Path) -> None:
    found = seen(tmp_path, f"{header}\n1,0,1\n0,1,1\n1,1,0\n0,0,0\n")
    assert found.target == found.proposal.target == expected
    assert seen(tmp_path, f"{header}\n1,0,1\n0,1,1\n1,1,0\n0,0,0\n", target="2").columns[1].use == "target"


@pytest.mark.parametrize("target", ["Plant height", "plant HEIGHT", " Plant  height ", "2"])
def test_a_target_is_told_by_name_or_number(target: str, tmp_path: Path) -> None:
    data_set = written(tmp_path, "a,Plant height\n1,1.5\n2,2.5\n3,0.5\n", target=target)
    assert data_set.collect(0, tmp_path).y.tolist() == [[1.5], [2.5], [0.5]]


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["a", "b", "a", "b"], "auto", ("a", "b")),
        (["0", "1", "0", "1"], "auto", ("0", "1")),
        (["10", "9", "10", "9"], "auto", ("9", "10")),
        (["1", "2", "3", "4"], "auto", ()),
        (["1.5", "2", "1.5", "2"], "auto", ()),
        (["1.5", "2", "1.50", "02"], "classification", ("1.5", "2")),
        (["1", "2", "x", "2"], "classification", ("1", "2", "x")),
        (["0", "1", "0", "1"], "regression", ()),
        (["B", "a", "b", "A"], "auto", ("A", "a", "B", "b")),
    ],
)
def test_a_target_is_classes_or_values(values: list[str], task: str, classes: tuple[str, ...], tmp_path: Path) -> None:
    data_set = written(tmp_path, "x,y\n" + "".join(f"{i},{v}\n" for i, v in enumerate(values)), task=task)
    samples = data_set.collect(0, tmp_path)
    assert samples.classes == classes
    assert data_set.outline(tmp_path) == Outline((1,), len(classes) or 1, classes)
    if classes:
        assert [float(classes[c]) if classes[c].isdigit() else classes[c] for c in samples.y] == [
            float(v) if classes[c].isdigit() else classes[c] for v, c in zip(values, samples.y, strict=True)
        ]
    else:
        assert samples.y.tolist() == [[float(v)] for v in values]
    assert preview(data_set, tmp_path).proposal.task == ("classification" if classes else "regression")


@pytest.mark.parametrize(
    ("settings", "place", "says"),
    [
        ({"target": "colour"}, "target", 'there is no column "colour" (did you mean "color"?); there are: width'),
        ({"target": "5"}, "target", 'there is no column "5"; there are: width, height, color, kind'),
        ({"target": "0"}, "target", 'there is no column "0"'),
        ({"leave_out": "size"}, "leave_out", 'there is no column "size"'),
        ({"leave_out": "kind", "target": "kind"}, "leave_out", 'column "kind" is the target; do not leave it out'),
        ({"leave_out": "1,2,3,4"}, "leave_out", "no column is left to predict; leave out fewer"),
        ({"leave_out": "1,2,3"}, "leave_out", 'there is no column beside "kind" to predict it from'),
        ({"task": "regression"}, "task", 'column "kind" holds texts, which are classes'),
        ({"task": "regression", "target": "color"}, "task", 'column "color" holds texts'),
    ],
)
def test_a_wrong_column_is_told_with_those_there_are(
    settings: dict[str, str], place: str, says: str, tmp_path: Path
) -> None:
    data_set = written(tmp_path, PLAIN, **settings)
    said = refused(data_set, tmp_path)
    assert said.startswith(f"t.csv, {place}: {says}")
    with pytest.raises(InputError) as caught:
        data_set.load(0, tmp_path)
    assert str(caught.value).startswith(f"t.csv, data.{place}: ")
    found = preview(data_set, tmp_path)
    assert found.problems[0].startswith(says)
    assert found.outline is None
    assert found.rows == 6


def test_columns_are_left_out_by_name_or_number(tmp_path: Path) -> None:
    data_set = written(tmp_path, 'a,"b, c",d,e\n1,x,3,0\n2,y,4,1\n3,z,5,0\n4,w,6,1\n', leave_out='"b, c", 3')
    assert data_set.collect(0, tmp_path).x.tolist() == [[1], [2], [3], [4]]
    found = preview(data_set, tmp_path)
    assert [column.use for column in found.columns] == ["input", "left out", "left out", "target"]
    assert written(tmp_path, PLAIN, leave_out="COLOR").outline(tmp_path).shape == (2,)


def test_what_cannot_be_used_is_proposed_to_be_left_out(tmp_path: Path) -> None:
    rows = [f'{i},"Doe, {i}",{i % 7}.5,{"ab"[i % 2]}' for i in range(1, 80)]
    found = seen(tmp_path, "\n".join(["id,name,size,kind", *rows]))
    assert found.problems == (
        'column "name" holds 79 different texts, more than the 50 that can become inputs; leave it out',
    )
    assert found.proposal.leave_out == "id, name"
    better = preview(found.proposal, tmp_path)
    assert better.problems == ()
    assert better.outline == Outline((1,), 2, ("a", "b"))
    # settling what was found changes nothing more
    assert preview(better.proposal, tmp_path).proposal == better.proposal


def test_a_single_column_teaches_nothing(tmp_path: Path) -> None:
    assert 'there is no column beside "1" to predict it from; look at delimiter' in refused(
        written(tmp_path, "1\n2\n3\n4\n"), tmp_path
    )


def test_one_class_or_too_many_are_refused(tmp_path: Path) -> None:
    assert "all samples are of one class" in refused(written(tmp_path, "a,y\n1,x\n2,x\n"), tmp_path)
    many = "a,y\n" + "".join(f"{i},t{i}\n" for i in range(1500))
    assert "1,500 different classes are more than 1,000" in refused(written(tmp_path, many), tmp_path)
    endless = "a,y\n" + "".join(f"{i},t{i}\n" for i in range(30_000))
    assert "different classes are more than 1,000" in refused(written(tmp_path, endless), tmp_path)


def test_long_texts_are_told_apart_by_their_ends(tmp_path: Path) -> None:
    rows = "".join(f"{i},{'x' * 5000}{i % 3}\n" for i in range(30))
    samples = written(tmp_path, "a,y\n" + rows).collect(0, tmp_path)
    assert samples.y.tolist() == [samples.y[i % 3] for i in range(30)]
    assert len(samples.classes) == 3
    assert max(map(len, samples.classes)) < 250


# --- missing values

GAPS = """a,b,color,y
1,NA,red,0
,2,blue,1
3,?,,0
4,4,red,1
-,5,n/a,0
6,NaN,blue,
7,7,red,1
8,8,red,0
"""


def test_missing_values_are_counted(tmp_path: Path) -> None:
    found = seen(tmp_path, GAPS)
    assert [(c.name, c.kind, c.missing) for c in found.columns] == [
        ("a", "number", 2),
        ("b", "number", 3),
        ("color", "text", 2),
        ("y", "number", 1),
    ]
    assert (found.rows, found.samples) == (8, 7)
    assert seen(tmp_path, GAPS, missing="drop").samples == 3
    assert seen(tmp_path, GAPS, leave_out="a, b, color").columns[1].missing == 3


def test_gaps_are_filled_with_the_mean_of_the_training_samples(tmp_path: Path) -> None:
    rows = [f"{i},{'' if i % 3 == 0 else 10 * i},{['u', 'v', ''][i % 3]},{i % 2}" for i in range(60)]
    data_set = written(tmp_path, "\n".join(["i,b,c,y", *rows]), scaling="none", validation=0.3, test=0.2)
    data = data_set.load(0, tmp_path)
    train = data.x_train[:, 0].astype(int)
    there = train[train % 3 != 0]
    expected = 10 * there.mean()
    named = train[train % 3 != 2]
    for x in (data.x_train, data.x_validation, data.x_test):
        number = x[:, 0].astype(int)
        assert x[:, 1] == pytest.approx(np.where(number % 3 == 0, expected, 10 * number))
        assert x[number % 3 == 2, 2:] == pytest.approx(
            np.tile([np.mean(named % 3 == 0), np.mean(named % 3 == 1)], ((number % 3 == 2).sum(), 1))
        )
    dropped = msgspec.structs.replace(data_set, missing="drop").load(0, tmp_path)
    assert len(dropped.x_train) + len(dropped.x_validation) + len(dropped.x_test) == 20
    assert not (dropped.x_train[:, 0] % 3 == 0).any()


def test_a_column_without_values_is_left_out(tmp_path: Path) -> None:
    found = seen(tmp_path, "a,b,y,\n1,,0,\n2,,1,\n3,NA,0,\n4,,1,\n")
    assert [(c.kind, c.use) for c in found.columns] == [
        ("number", "input"),
        ("empty", "left out"),
        ("number", "target"),
        ("empty", "left out"),
    ]
    assert found.outline == Outline((1,), 2, ("0", "1"))
    assert seen(tmp_path, "a,b,y\n1,,0\n2,,1\n", missing="drop").samples == 2


def test_a_table_without_a_complete_row_is_refused(tmp_path: Path) -> None:
    said = refused(written(tmp_path, "a,b,y\n1,,0\n,2,1\n", missing="drop"), tmp_path)
    assert "no row is complete" in said


# --- what is wrong, and where


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PLAIN.replace("4.5", "abc"), 'line 5, column "width": "abc" is not a number; correct it, empty it, or leave'),
        (
            PLAIN.replace("4.5", "4,5").replace("green", "g"),
            "line 5: has 5 cells instead of 4; complete it or remove it",
        ),
        (PLAIN.replace("4.5,5,green,b", "4.5"), "line 5: has 1 cell instead of 4"),
        (PLAIN.replace("4.5", "1_000"), 'line 5, column "width": "1_000" is not a number'),
        (PLAIN.replace("4.5", "inf"), 'line 5, column "width": "inf" is not a number'),
        (PLAIN.replace("4.5", "1e999"), 'line 5, column "width": "1e999" is too large a number'),
        (PLAIN.replace("4.5", "٤"), 'line 5, column "width": "٤" is not a number'),
        (PLAIN.replace("4.5", '"4,5"'), '"4,5" is not a number in a file with a decimal point; write it as the others'),
        (PLAIN.replace("3.5", '"3.5\n"').replace("4.5", "x"), 'line 6, column "width": "x" is not a number'),
        (PLAIN.replace("\n", "\n\n").replace("4.5", "x"), 'line 9, column "width": "x" is not a number'),
        ("sep=,\n" + PLAIN.replace("4.5", "x"), 'line 6, column "width": "x" is not a number'),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_column(text: str, says: str, tmp_path: Path) -> None:
    said = refused(written(tmp_path, text), tmp_path)
    assert said.startswith("t.csv, path: ")
    assert says in said
    found = preview("t.csv", tmp_path)
    assert says in found.problems[0]
    assert found.outline is None
    with pytest.raises(InputError, match="^t.csv, data.path: line "):
        Csv(path="t.csv").load(0, tmp_path)


def test_all_that_is_wrong_is_listed_in_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [f"{'x' if i % 3 == 0 else i},{'z' if i % 5 == 0 else i},{i % 2}" for i in range(2, 5000)]
    rows[10] += ",9"
    found = seen(tmp_path, "\n".join(["a,b,y", *rows]))
    lines = [int(problem.split()[1].strip(",:")) for problem in found.problems[:-1]]
    assert lines == [3, 5, 6, 9, 10, 12, 15, 15, 18, 20]
    total = sum((i % 3 == 0) + (i % 5 == 0) for i in range(2, 5000))  # the row that is too long had one of them
    assert found.problems[-1] == f"and {total - 10:,} more"
    assert refused(Csv(path="t.csv"), tmp_path).startswith('t.csv, path: line 3, column "a": "x" is not a number')


def test_a_left_out_column_may_hold_anything(tmp_path: Path) -> None:
    assert written(tmp_path, PLAIN.replace("4.5", "abc"), leave_out="width").outline(tmp_path).shape == (4,)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "t.csv, path: is empty"),
        (b"\n\n  \n", "t.csv, path: is empty"),
        (b"\xef\xbb\xbf", "t.csv, path: is empty"),
        (b"PK\x03\x04\0\0\0 a spreadsheet", "is not a text but a binary file"),
        (b"\xff\xfea\0,\0b\0\n", "is cut off or damaged: it holds bytes that are no characters"),
        (b'a,b\n1,"2\n' + b"3,4\n" * 100_000, "a quotation mark that is not closed"),
        (b"," * 5000 + b"\n", "has 5,001 columns, and at most 4,096 can be read"),
        (b"1," * 3_000_000, "line 1: is too long for a row of a table"),
        (b'"a\n",' * 1_000_000, "is too long for a row of a table"),
    ],
)
def test_files_that_are_no_tables_are_refused(content: bytes, says: str, tmp_path: Path) -> None:
    data_set = written(tmp_path, content)
    assert says in refused(data_set, tmp_path)
    with pytest.raises(InputError):
        preview(data_set, tmp_path)


def test_large_files_are_refused_with_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    with path.open("wb") as file:
        file.truncate(300 * 1024**2)  # takes no room on the disk
    assert "is 300 MB large, and at most 256 MB are read" in refused(Csv(path="t.csv"), tmp_path)
    text = "\n".join(",".join(str((i * j) % 10) for j in range(20)) for i in range(20_000))
    monkeypatch.setattr(table, "MOST_NUMBERS", 100_000)
    began = time.perf_counter()
    said = refused(written(tmp_path, text), tmp_path)
    assert time.perf_counter() - began < 1.0
    assert "rows of 20 columns, and at most 100,000 values can be read" in said
    about = int(said.split("has about ")[1].split()[0].replace(",", ""))
    assert about == pytest.approx(20_000, rel=0.2)


def test_a_table_takes_no_more_memory_than_three_times_its_file_and_little_time(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60_000, 12))
    np.savetxt(tmp_path / "t.csv", rows, fmt="%.6f", delimiter=";")
    size = (tmp_path / "t.csv").stat().st_size
    csv_module._tables.clear()
    began = time.perf_counter()
    samples = Csv(path="t.csv").collect(0, tmp_path)
    assert time.perf_counter() - began < 2.0  # about 0.3 s
    assert np.abs(np.hstack([samples.x, samples.y]) - rows).max() < 1e-6
    csv_module._tables.clear()
    tracemalloc.start()
    Csv(path="t.csv").collect(0, tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 3 * size
    tracemalloc.stop()
    csv_module._tables.clear()


def test_a_table_is_read_again_only_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_set = written(tmp_path, PLAIN)
    first = data_set.outline(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(table, "read", None)
        patch.setattr(table, "look", None)
        assert data_set.outline(tmp_path) == first
        assert msgspec.structs.replace(data_set, scaling="whiten", test=0.5).outline(tmp_path) == first
    with monkeypatch.context() as patch:
        patch.setattr(table, "read", None)
        assert len(data_set.collect(0, tmp_path).x) == 6  # the table is still there
        assert data_set.collect(0, tmp_path).x.base is None
    written(tmp_path, PLAIN.replace("green", "blue"))
    os.utime(tmp_path / "t.csv", ns=(1, 1))
    assert data_set.outline(tmp_path).shape == (4,)


def test_what_is_remembered_is_not_handed_out(tmp_path: Path) -> None:
    data_set = written(tmp_path, "a,y\n1,2.5\n2,3.5\n3,4.5\n")
    samples = data_set.collect(0, tmp_path)
    samples.x[:] = -1
    samples.y[:] = -1
    assert data_set.collect(0, tmp_path).x.tolist() == [[1], [2], [3]]
    assert data_set.collect(0, tmp_path).y.tolist() == [[2.5], [3.5], [4.5]]


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False, width=32),
            st.integers(-1000, 1000),
            st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=8),
        ),
        min_size=3,
        max_size=30,
    )
)
def test_what_a_program_writes_is_read_back(rows: list[tuple[float, int, str]]) -> None:
    import csv as writer
    import io
    import tempfile

    text = io.StringIO()
    writer.writer(text).writerows([("number", "whole", "word", "y"), *((*row, i + 0.5) for i, row in enumerate(rows))])
    with tempfile.TemporaryDirectory() as folder:
        data_set = written(
            Path(folder), text.getvalue(), header="yes", delimiter="comma", leave_out="word", task="regression"
        )
        samples = data_set.collect(0, Path(folder))
    assert samples.x.tolist() == [[float(repr(row[0])), row[1]] for row in rows]
    assert samples.y.tolist() == [[i + 0.5] for i in range(len(rows))]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_any_damage_to_a_table_ends_in_one_line(encoding: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("damage")
    content = GAPS.encode(encoding)

    @given(damage(content))
    def check(damaged: bytes) -> None:
        data_set = written(folder, damaged)
        try:
            found = preview(data_set, folder)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
            found = None
        try:
            data_set.load(0, folder)
            outline = data_set.outline(folder)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
            return
        # the preview cannot lie
        assert found is not None
        assert found.problems == ()
        assert found.outline == outline

    check()


# --- the table that comes with the program


def test_the_beans_are_what_their_description_says() -> None:
    found = preview(str(BEANS))
    assert [(c.name, c.kind, c.use) for c in found.columns] == [
        ("length_mm", "number", "input"),
        ("width_mm", "number", "input"),
        ("mass_g", "number", "input"),
        ("color", "text", "input"),
        ("variety", "text", "target"),
    ]
    assert (found.rows, found.samples, found.problems) == (180, 180, ())
    assert sum(column.missing for column in found.columns) == 9
    assert found.outline == Outline((7,), 3, ("Amber", "Minster", "Pilgrim"))
    from oracles import make_beans

    assert make_beans.table() == BEANS.read_text(encoding="utf-8")


def test_a_plan_names_the_data_file_that_is_wrong(small: Any, tmp_path: Path) -> None:
    written(tmp_path, PLAIN.replace("4.5", "abc"))
    experiment = msgspec.structs.replace(small, data=Csv(path="t.csv"))
    ((place, sentence), *_rest) = plan(experiment, folder=tmp_path).problems
    assert place == "data.path"
    assert sentence.startswith('t.csv: line 5, column "width": "abc" is not a number')


def test_settings_go_through_the_file_format(tmp_path: Path) -> None:
    written(tmp_path, PLAIN)
    proposal = preview("t.csv", tmp_path).proposal
    assert build(DataSet, json.loads(msgspec.json.encode(proposal))) == proposal
