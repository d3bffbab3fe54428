from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nonlocalnet.data.annotations import VideoEntry, load_video_list


@pytest.fixture
def videos(tmp_path) -> Path:
    """A folder with files that only have to exist."""
    for name in ("a.mp4", "b.mp4", "c d.mp4", "e, f.mp4", "sub/g.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def write(folder: Path, text: str, name: str = "list.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def found(source: Path, **options) -> list[tuple[str, int]]:
    videos = load_video_list(source, **options)
    assert videos.source == str(source)
    return [(entry.path.name, entry.label) for entry in videos.entries]


def test_class_folders(tmp_path):
    for name in ("riding a bike/2.MP4", "riding a bike/1.webm", "abseiling/x.avi", "riding a bike/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "no.mp4").touch()
    (tmp_path / "riding a bike" / "._1.mp4").touch()
    (tmp_path / "empty class").mkdir()
    videos = load_video_list(tmp_path)
    assert videos.class_names == ("abseiling", "empty class", "riding a bike")
    assert videos.entries == (
        VideoEntry(tmp_path / "abseiling" / "x.avi", 0),
        VideoEntry(tmp_path / "riding a bike" / "1.webm", 2),
        VideoEntry(tmp_path / "riding a bike" / "2.MP4", 2),
    )


def test_videos_beside_the_class_folders_are_not_left_out_without_a_word(tmp_path, caplog):
    for name in ("a/1.mp4", "2.mp4", "3.mp4", "._3.mp4", "notes.txt", "b.mp4/4.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [entry.path.name for entry in load_video_list(tmp_path).entries] == ["1.mp4", "4.mp4"]
    assert f"{tmp_path}: 2 videos beside the class folders are left out, having no class, such as 2.mp4" in caplog.text


def test_a_root_that_is_a_file_is_refused(tmp_path):
    path = write(tmp_path, "a.mp4 0\n")
    with pytest.raises(ValueError, match=r"root must be the folder that the paths of .* start from, got the file"):
        load_video_list(path, root=path)


def test_class_folders_numbered_by_a_list_of_names(tmp_path):
    (tmp_path / "data" / "b").mkdir(parents=True)
    (tmp_path / "data" / "b" / "1.mp4").touch()
    names = write(tmp_path, "c\nb\na\n", "names.txt")
    videos = load_video_list(tmp_path / "data", classes=names, num_classes=3)
    assert videos.class_names == ("c", "b", "a")
    assert videos.entries[0].label == 1
    with pytest.raises(ValueError, match="the subfolder 'b' is not among the 2 class names given"):
        load_video_list(tmp_path / "data", classes=write(tmp_path, "c\na\n", "other.txt"))


def test_a_folder_without_videos(tmp_path):
    (tmp_path / "train" / "x").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"no videos found; expected .*/CLASS NAME/video.mp4 \(found 1 subfolders\)"):
        load_video_list(tmp_path)


@pytest.mark.parametrize("separator", [" ", "\t", ",", ", ", "   ", " \t "])
def test_text_list_is_split_from_the_right(videos, separator):
    text = f"a.mp4{separator}0\n\nc d.mp4{separator}2\r\n  sub/g.mp4{separator}1  \n"
    assert found(write(videos, text)) == [("a.mp4", 0), ("c d.mp4", 2), ("g.mp4", 1)]


def test_a_text_list_may_be_called_csv(videos):
    assert found(write(videos, "a.mp4 3\nb.mp4 1\n", "train.csv")) == [("a.mp4", 3), ("b.mp4", 1)]


def test_a_comma_in_a_path_of_a_text_list(videos):
    assert found(write(videos, "e, f.mp4,1\n")) == [("e, f.mp4", 1)]


def test_paths_start_from_root_or_the_list(videos, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("lists")
    text = f"a.mp4 0\n{videos}/b.mp4 1\n"
    assert load_video_list(write(videos, text)).entries[0].path == videos / "a.mp4"
    entries = load_video_list(write(elsewhere, text), root=videos).entries
    assert [entry.path for entry in entries] == [videos / "a.mp4", videos / "b.mp4"]
    with pytest.raises(FileNotFoundError, match="1 of 2 files are missing"):
        load_video_list(elsewhere / "list.txt")


def test_csv_with_class_indices(videos):
    text = '\ufeffpath,label\na.mp4,0\n"e, f.mp4",2\n\n'
    assert found(write(videos, text, "l.csv")) == [("a.mp4", 0), ("e, f.mp4", 2)]
    assert load_video_list(videos / "l.csv").class_names is None
    assert found(write(videos, "Label, Path, seconds\n1,a.mp4,10\n", "l.csv")) == [("a.mp4", 1)]


def test_csv_with_class_names(videos):
    path = write(videos, "path,label\na.mp4,riding a bike\nb.mp4,abseiling\n", "l.csv")
    assert found(path) == [("a.mp4", 1), ("b.mp4", 0)]
    assert load_video_list(path).class_names == ("abseiling", "riding a bike")
    write(videos, "riding a bike\nzumba\nabseiling\n", "classes.txt")
    assert found(path, num_classes=3) == [("a.mp4", 0), ("b.mp4", 2)]


def test_class_names_beside_a_list(videos):
    write(videos, "red\ngreen\n\n", "classes.txt")
    assert load_video_list(write(videos, "a.mp4 1\n")).class_names == ("red", "green")
    other = write(videos, "x\ny\nz\n", "names.txt")
    assert load_video_list(videos / "list.txt", classes=other).class_names == ("x", "y", "z")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("l.txt", "", "no rows; expected one `path label` a line"),
        ("l.txt", "\n  \n", "no rows"),
        ("l.csv", "path,label\n", "no rows after the header"),
        ("l.txt", "a.mp4 0\nb.mp4\n", "line 2: 1 column, expected 2, `path label`: 'b.mp4'"),
        ("l.txt", "a.mp4 0 2 4\n", "line 1: more than 2 columns, expected `path label` with one label"),
        ("l.csv", "path,label\na.mp4,0\nb.mp4,1,2\n", r"line 3: 3 columns, but the header has 2 \(path,label\)"),
        ("l.csv", "path,label\na.mp4\n", "line 2: 1 columns, but the header has 2"),
        ("l.csv", 'path,label\n"a.mp4,0\n', "line 2: not csv: unexpected end of data"),
        ("l.csv", "path,label\na.mp4,\n", "line 2: the label is empty"),
        ("l.csv", "path,label\n,3\n", "line 2: the path is empty"),
        ("l.txt", "a.mp4 0\nb.mp4 x\n", r"line 2: label 'x' is not a class index \(an integer from 0\)"),
        ("l.txt", "a.mp4 -1\n", "line 1: label '-1' is not a class index"),
        ("l.txt", "a.mp4 1.0\n", "line 1: label '1.0' is not a class index"),
        ("l.txt", "a.mp4 1_0\n", "line 1: label '1_0' is not a class index"),
        ("l.csv", "path,label\na.mp4,0\nb.mp4,bike\n", "line 3: label 'bike' is not a class index"),
    ],
)
def test_bad_lists_are_refused_by_file_and_line(videos, name, text, message):
    path = write(videos, text, name)
    with pytest.raises(ValueError, match=f"{path}.*{message}"):
        load_video_list(path)


def test_missing_files_are_counted_and_named(videos):
    path = write(videos, "a.mp4 0\nx1.mp4 0\nx2.mp4 0\nx3.mp4 0\nx4.mp4 0\n")
    message = r"list.txt: 4 of 5 files are missing \(line 2: .*x1.mp4; line 3: .*x2.mp4; line 4: .*x3.mp4; \.\.\.\)"
    with pytest.raises(FileNotFoundError, match=message):
        load_video_list(path)
    assert len(load_video_list(path, check_files=False).entries) == 5


def test_missing_sources(tmp_path, videos):
    with pytest.raises(FileNotFoundError, match=r"no such folder or list of videos: .*nowhere"):
        load_video_list(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no such file of class names: .*names.txt"):
        load_video_list(write(videos, "a.mp4 1\n"), classes=videos / "names.txt")


def test_labels_must_fit_the_number_of_classes(videos):
    path = write(videos, "a.mp4 0\nb.mp4 4\n")
    assert len(load_video_list(path, num_classes=5).entries) == 2
    with pytest.raises(
        ValueError, match=r"label 4 of .*b.mp4 is out of range: num_classes is 4, so labels go from 0 to 3"
    ):
        load_video_list(path, num_classes=4)
    write(videos, "red\ngreen\n", "classes.txt")
    with pytest.raises(ValueError, match=r"label 4 of .* is out of range: there are 2 class names"):
        load_video_list(path)
    with pytest.raises(ValueError, match="2 classes, but num_classes is 400; set num_classes to 2"):
        load_video_list(path, num_classes=400)


@pytest.mark.parametrize(
    ("text", "message"), [("red\nred\n", "class name 'red' stands there more than once"), ("\n", "no class names")]
)
def test_bad_class_names(videos, text, message):
    write(videos, text, "classes.txt")
    with pytest.raises(ValueError, match=f"classes.txt: {message}"):
        load_video_list(write(videos, "a.mp4 1\n"))


def test_not_text(videos):
    (videos / "bytes.txt").write_bytes(b"a.mp4 0\n\xff\xfe 1\n")
    with pytest.raises(ValueError, match=r"bytes.txt, line 2: not UTF-8 text"):
        load_video_list(videos / "bytes.txt")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=60),
        st.text(alphabet='a.mp4 ,\t\n"0123x\r\0é', max_size=60).map(str.encode),
        st.text(alphabet='a.mp4 ,\t\n"0123x\r', max_size=40).map(lambda text: b"path,label\n" + text.encode()),
    )
)
def test_any_bytes_give_a_list_or_one_clear_error(tmp_path, data):
    path = tmp_path / "fuzz.csv"
    path.write_bytes(data)
    try:
        videos = load_video_list(path, check_files=False)
    except ValueError as error:
        assert str(error).startswith(str(path))  # noqa: PT017
    else:
        assert videos.entries
        assert all(entry.label >= 0 for entry in videos.entries)
