"""Lists as spreadsheets and other systems write them: read right, or refused by what was seen and what is expected."""

from pathlib import Path

import pytest

from nonlocalnet.data.annotations import load_video_list
from nonlocalnet.data.annotations.path_csv import columns_of


@pytest.fixture
def videos(tmp_path) -> Path:
    for name in ("a.mp4", "b c.mp4", "d, e.mp4", "f; g.mp4", "sub/h.mp4", "12:30:05.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def found(folder: Path, content: str | bytes, **options) -> list[tuple[str, int]]:
    path = folder / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    entries = load_video_list(path, **options).entries
    return [(entry.path.relative_to(folder).as_posix(), entry.label) for entry in entries]


@pytest.mark.parametrize("separator", [",", ";", "\t", ", ", "; "])
@pytest.mark.parametrize("header", ["path label", "video_path class", "filename label", "File Label", "video class_id"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_headers_and_separators(videos, separator, header, end):
    rows = (f"a.mp4{separator}0", f'"d, e.mp4"{separator}1', f'"f; g.mp4"{separator}2')
    assert found(videos, end.join((separator.join(header.split()), *rows, ""))) == [
        ("a.mp4", 0),
        ("d, e.mp4", 1),
        ("f; g.mp4", 2),
    ]


def test_columns_in_any_order_with_others_between(videos):
    text = "class;seconds;video_path\nzumba;3,5;a.mp4\nboxing;4,0;b c.mp4\n"
    assert found(videos, text) == [("a.mp4", 1), ("b c.mp4", 0)]
    assert columns_of(["class", "label", "video", "path"]) == ("path", "label")
    assert columns_of(["label", "youtube_id"]) is None


def test_excel_writes_a_mark_and_empty_rows(videos):
    text = "\ufeffpath;label\r\na.mp4;0\r\n;\r\nb c.mp4;1\r\n;\r\n"
    assert found(videos, text) == [("a.mp4", 0), ("b c.mp4", 1)]
    assert found(videos, "\ufeffa.mp4 0\r\nb c.mp4 1\r\n") == [("a.mp4", 0), ("b c.mp4", 1)]


@pytest.mark.parametrize("separator", [" ", ",", ";", "\t", "; "])
def test_text_lists_without_header(videos, separator):
    text = f'a.mp4{separator}0\n"b c.mp4"{separator}1\nb c.mp4{separator}"2"\n"d, e.mp4"{separator}3\n'
    assert found(videos, text) == [("a.mp4", 0), ("b c.mp4", 1), ("b c.mp4", 2), ("d, e.mp4", 3)]


def test_several_labels_after_semicolons_and_quotes(videos):
    path = videos / "list.txt"
    path.write_text('a.mp4;0;2\n"b c.mp4" 1 2\n"d, e.mp4"\n')
    entries = load_video_list(path, multi_label=True).entries
    assert [entry.label.tolist() for entry in entries] == [[1, 0, 1], [0, 1, 1], [0, 0, 0]]
    assert [entry.path.name for entry in entries] == ["a.mp4", "b c.mp4", "d, e.mp4"]


def test_a_header_before_spaces(videos):
    assert found(videos, "path label\na.mp4 0\nb c.mp4 1\n") == [("a.mp4", 0), ("b c.mp4", 1)]


def test_frame_lists_too(videos):
    path = videos / "frames.txt"
    path.write_text('"sub";12;1\nsub; 12; 2\n')
    entries = load_video_list(path).entries
    assert [(entry.path.name, entry.frames.total, entry.label) for entry in entries] == [("sub", 12, 1), ("sub", 12, 2)]


def test_backslashes_between_folders(videos):
    assert found(videos, "sub\\h.mp4 1\n") == [("sub/h.mp4", 1)]
    assert found(videos, "path,label\nC:\\data\\sub\\h.mp4,1\nC:\\data\\a.mp4,0\n") == [("sub/h.mp4", 1), ("a.mp4", 0)]
    (videos / "x\\y.mp4").touch()  # a name that has one
    assert found(videos, "x\\y.mp4 0\n") == [("x\\y.mp4", 0)]


def test_a_colon_is_part_of_the_name(videos):
    assert found(videos, "12:30:05.mp4 1\n") == [("12:30:05.mp4", 1)]
    assert found(videos, "path,label\n12:30:05.mp4,1\n") == [("12:30:05.mp4", 1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "clip\tactivity\na.mp4\tzumba\n",
            "line 1: 'clip activity' is a header, not a video; call its columns path and la",
        ),
        (
            "clip,activity\na.mp4,0\n",
            "line 1: 'clip activity' is a header, not a video; call its columns path and label",
        ),
        (
            "clip activity\na.mp4 0\n",
            "line 1: 'clip activity' is a header, not a video; call its columns path and label",
        ),
        ("path label\n", "no rows after the header"),
        ("path;label\n", "no rows after the header; expected `path,label` lines"),
        ("path;label\na.mp4,0\n", r"line 2: 1 columns, but the header has 2 \(path,label\)"),
        ("sep=;\npath;label\na.mp4;0\n", "line 1: Excel's 'sep=;' is neither a header nor a row; delete the line"),
        (
            "path,label\na.mp4,0\n".encode("utf-16"),
            "UTF-16 text, expected UTF-8; save it as UTF-8 .in Excel: CSV UTF-8",
        ),
        ("path,label\na.mp4,0\n".encode("utf-32"), "UTF-32 text, expected UTF-8"),
        ("path,label\ncafé.mp4,0\n".encode("latin-1"), r"line 2: not UTF-8 text \(byte 14 is 0xe9\); save it as UTF-8"),
    ],
)
def test_what_cannot_be_told_is_refused(videos, content, message):
    with pytest.raises(ValueError, match=rf"list\.csv.*{message}"):
        found(videos, content)


@pytest.mark.parametrize("label", ["red,1", "1,red", "nan,red", "NaN,blue"])
def test_names_and_numbers_or_missing_values_are_no_classes(tmp_path, label):
    first, second = label.split(",")
    (tmp_path / "list.csv").write_text(f"path,label\na.mp4,{first}\nb.mp4,{second}\n")
    with pytest.raises(ValueError, match=r"list\.csv.*(class name|missing value)"):
        load_video_list(tmp_path / "list.csv", check_files=False)


def test_a_column_may_not_stand_there_twice(tmp_path):
    (tmp_path / "list.csv").write_text("path,label,label\na.mp4,1,2\n")
    with pytest.raises(ValueError, match="'label' more than once"):
        load_video_list(tmp_path / "list.csv", check_files=False)


def test_a_video_with_two_labels_is_said(tmp_path, caplog):
    (tmp_path / "list.txt").write_text("a.mp4 0\nb.mp4 1\na.mp4 1\na.mp4 0\n")
    load_video_list(tmp_path / "list.txt", check_files=False)
    assert "a.mp4 has label 0 in line 1 and 1 in line 3" in caplog.text
    caplog.clear()
    (tmp_path / "list.txt").write_text("a.mp4 0\nb.mp4 1\na.mp4 0\n")
    load_video_list(tmp_path / "list.txt", check_files=False)
    assert not caplog.text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_named(tmp_path, encoding):
    (tmp_path / "list.txt").write_bytes("a.mp4 0\nb.mp4 1\n".encode(encoding))
    with pytest.raises(ValueError, match=r"list\.txt, line 1: zero bytes, as in UTF-16"):
        load_video_list(tmp_path / "list.txt", check_files=False)
