"""Labelled texts from csv files and folders; what is no text is refused by file, line and byte."""

import os

import pytest

from nonlocalnet.data.text.text_list import TextEntry, load_text_list, read_text_file


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("header", ["text,label", "Label;Text", "id\tsentiment\tsentence"])
def test_csv(tmp_path, mark, header):
    separator = next(mark for mark in ",;\t" if mark in header)
    cells = {"text": '"Schön, ""gut""; ja\nund mehr"', "sentence": "x", "label": "good", "sentiment": "good", "id": "1"}
    second = {**dict.fromkeys(cells, "Zu lang"), "label": "bad", "sentiment": "bad"}
    cells["sentence"] = cells["text"]
    columns = [name.lower() for name in header.split(separator)]
    text = "\r\n".join([header, *(separator.join(row[name] for name in columns) for row in (cells, second)), ""])
    path = tmp_path / "list.csv"
    path.write_bytes(mark + text.encode())
    found = load_text_list(path)
    assert found.entries == (TextEntry('Schön, "gut"; ja\nund mehr', 1), TextEntry("Zu lang", 0))
    assert found.class_names == ("bad", "good")
    assert found.source == str(path)


def test_class_indices_and_names_beside(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("text,label\na,1\nb,0\n")
    assert load_text_list(path, num_classes=2).class_names is None
    (tmp_path / "classes.txt").write_text("no\nyes\n")
    assert load_text_list(path).class_names == ("no", "yes")
    path.write_text("text,label\na,yes\n")
    assert load_text_list(path).entries == (TextEntry("a", 1),)


def test_a_text_longer_than_csv_takes(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(f"text,label\n{'long ' * 40_000},0\n")
    assert len(load_text_list(path).entries[0].text) == 5 * 40_000 - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text,label\nna\xefve,0\n", r"line 2: not UTF-8 text \(byte 13 is 0xef\)"),
        ("text,label\na,0\n".encode("utf-16"), "UTF-16 text, expected UTF-8"),
        (b"text,label\na\0b,0\n", r"line 2: zero bytes.*the first is byte 12"),
        (b"", "is empty; expected a header with text and label, and rows"),
        (b"\n \n", "is empty; expected a header"),
        (b"text,label,label\na,0,1\n", "line 1: the header has 'label' more than once"),
        (b"text,text,label\na,b,0\n", "line 1: the header has 'text' more than once"),
        (b"PK\x03\x04\x14\0\x06\0", "is a zip archive or an Excel workbook, expected UTF-8 text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an Excel workbook or Word document"),
        (b"\x1f\x8b\x08\0", "is a gzip archive"),
        (b"text,label\n", "no rows after the header"),
        (b"words,label\na,0\n", "line 1: no column 'text' in the header"),
        (b"text,score\na,0\n", "line 1: no column 'label' in the header"),
        (
            b"text,label\nA fine, quiet film,0\n",
            "line 2: 3 columns, but the header has 2 .*quote a text that holds",
        ),
        (b"text,label\n  ,0\n", "line 2: the text is empty"),
        (b"text,label\na,\n", "line 2: the label is empty"),
        (b"text,label\na,0\nb,good\n", "line 3: label 'good' is not a class index"),
        (b"text,label\na,0\nb,7\n", "line 3: label 7 is out of range: there are 2 classes"),
        (b"text,label\na,x\nb,y\nc,z\n", "3 classes, but num_classes is 2; set num_classes to 3"),
        (b'text,label\n"a,0\n', "line 2: not csv: unexpected end of data"),
    ],
)
def test_bad_lists(tmp_path, content, message):
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"list\.csv.*{message}"):
        load_text_list(path, num_classes=2)


def test_folders(tmp_path):
    for name, text in (("good/2.txt", "fine\n"), ("good/1.md", "\ufeffschön"), ("bad/1.txt", "no"), ("bad/x.py", "x")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = load_text_list(tmp_path, num_classes=2)
    assert found.entries == (TextEntry("no", 0), TextEntry("schön", 1), TextEntry("fine", 1))
    assert found.class_names == ("bad", "good")
    (tmp_path / "bad" / "2.txt").write_bytes(b"ab\xff")
    with pytest.raises(ValueError, match=r"bad/2\.txt, line 1: not UTF-8 text \(byte 2 is 0xff\)"):
        load_text_list(tmp_path)
    (tmp_path / "bad" / "2.txt").write_bytes(b"RIFF\x24\0\0\0WAVEfmt ")
    with pytest.raises(ValueError, match=r"bad/2\.txt is a sound \(wav\), and a text is expected"):
        load_text_list(tmp_path)
    (tmp_path / "bad" / "2.txt").write_bytes(b" \n")
    with pytest.raises(ValueError, match=r"bad/2\.txt: the text is empty"):
        load_text_list(tmp_path)


def test_sources_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv: there is no such file"):
        load_text_list(tmp_path / "nowhere.csv")
    os.mkfifo(tmp_path / "pipe")
    for read in (load_text_list, read_text_file):
        with pytest.raises(ValueError, match="pipe is a pipe or a device"):
            read(tmp_path / "pipe")
    (tmp_path / "x").mkdir()
    with pytest.raises(ValueError, match=r"no texts found; expected .*/CLASS NAME/text\.txt"):
        load_text_list(tmp_path)
