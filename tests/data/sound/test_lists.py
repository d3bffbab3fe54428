"""Lists of sounds and folders of spoken digits, and the data sets over them."""

import pytest
import torch

from make_sounds import tone, write_wav
from nonlocalnet.data.padded import collate
from nonlocalnet.data.sound.reader import SoundError
from nonlocalnet.data.sound.sound_list import SoundEntry, load_sound_list
from nonlocalnet.data.sound.spoken_digits import load_spoken_digits, recordings
from nonlocalnet.data.sound.waveforms import MAX_REPLACEMENTS, TestSounds, TrainSounds


def test_class_folders(tmp_path):
    for name in ("low/2.WAV", "low/1.mp3", "high/x.flac", "high/notes.txt", "high/film.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = load_sound_list(tmp_path)
    assert found.class_names == ("high", "low")
    assert found.source == str(tmp_path)
    low = tmp_path / "low"
    expected = (SoundEntry(tmp_path / "high" / "x.flac", 0), SoundEntry(low / "1.mp3", 1), SoundEntry(low / "2.WAV", 1))
    assert found.entries == expected


@pytest.mark.parametrize(
    "text", ["path,label\na.wav,no\nb.wav,yes\n", "label;audio\nno;a.wav\nyes;b.wav\n", "a.wav\tno\nb.wav\tyes\n"]
)
def test_lists_of_names(tmp_path, text):
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).touch()
    (tmp_path / "list.csv").write_text(text)
    found = load_sound_list(tmp_path / "list.csv", num_classes=2)
    assert [(entry.path.name, entry.label) for entry in found.entries] == [("a.wav", 0), ("b.wav", 1)]
    assert found.class_names == ("no", "yes")


def test_a_list_without_header_has_two_columns_not_frames(tmp_path):
    (tmp_path / "list.txt").write_text("a 4 1\n")
    with pytest.raises(ValueError, match="line 1: more than 2 columns"):
        load_sound_list(tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,label\na.wav,0\nc.wav,1\n",
            r"1 of 2 files are missing \(line 3: .*c\.wav\).*leave them out of the li",
        ),
        ("path,label\na.wav,4\n", "label 4 of .* is out of range: num_classes is 2"),
        ("path,label\na.wav,x\na.wav,0\n", "line 3 a number|in line 2 is a name"),
        ("path,label\n", "no rows after the header"),
    ],
)
def test_bad_lists(tmp_path, text, message):
    (tmp_path / "a.wav").touch()
    (tmp_path / "c.mp4").touch()  # a video's other suffix, which is none of a sound
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=rf"list\.csv.*({message})"):
        load_sound_list(tmp_path / "list.csv", num_classes=2)


def test_sources_without_sounds(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such folder or list of sounds: .*nowhere"):
        load_sound_list(tmp_path / "nowhere")
    (tmp_path / "x").mkdir()
    with pytest.raises(ValueError, match=r"no sounds found; expected .*/CLASS NAME/sound\.wav"):
        load_sound_list(tmp_path)


@pytest.fixture
def digits(tmp_path):
    folder = tmp_path / "digits"
    folder.mkdir()
    for digit in range(10):
        for speaker in ("anna", "ben", "cyn"):
            for index in (0, 4, 5, 12):
                (folder / f"{digit}_{speaker}_{index}.wav").touch()
    (folder / "README.md").touch()
    return folder


def names(found):
    return {entry.path.name for entry in found.entries}


def test_the_usual_split_is_by_number(digits):
    train, test = load_spoken_digits(digits, "train"), load_spoken_digits(digits, "test")
    assert names(test) == {path.name for path in digits.glob("*.wav") if path.stem.endswith(("_0", "_4"))}
    assert names(train) | names(test) == {path.name for path in digits.glob("*.wav")}
    assert not names(train) & names(test)
    assert train.class_names == tuple("0123456789")
    assert all(entry.path.name.startswith(str(entry.label)) for entry in train.entries)


def test_speakers_held_out(digits):
    train = load_spoken_digits(digits, "train", held_out=["ben"])
    test = load_spoken_digits(digits, "test", held_out=["ben"])
    assert len(train.entries) == 80
    assert len(test.entries) == 40
    assert {entry.path.name.split("_")[1] for entry in test.entries} == {"ben"}
    assert "ben" not in {entry.path.name.split("_")[1] for entry in train.entries}


def test_spoken_digits_asked_wrongly(digits, tmp_path):
    with pytest.raises(ValueError, match="no speaker 'dan'; there are anna, ben, cyn"):
        load_spoken_digits(digits, "test", held_out=["dan"])
    with pytest.raises(ValueError, match="held_out takes a sequence of speakers, got 'ben'"):
        load_spoken_digits(digits, "test", held_out="ben")
    with pytest.raises(ValueError, match="nothing is left to train with speakers anna, ben, cyn held out"):
        load_spoken_digits(digits, "train", held_out=["anna", "ben", "cyn"])
    with pytest.raises(ValueError, match="part must be train or test, got 'val'"):
        load_spoken_digits(digits, "val")  # pyright: ignore[reportArgumentType]
    with pytest.raises(FileNotFoundError, match="no such folder of spoken digits"):
        recordings(tmp_path / "nowhere")
    (digits / "seven.wav").touch()
    with pytest.raises(ValueError, match=r"expected names such as 7_jackson_32\.wav .*, got 'seven\.wav'"):
        recordings(digits)


def test_data_sets(tmp_path):
    for name, hertz, seconds in (("low/a.wav", 200, 0.1), ("high/b.wav", 900, 0.2)):
        (tmp_path / name).parent.mkdir()
        write_wav(tmp_path / name, tone(hertz, seconds=seconds))
    (tmp_path / "low" / "broken.wav").write_bytes(b"RIFF")
    found = load_sound_list(tmp_path)
    train, test = TrainSounds(found, sample_rate=8000, seed=0), TestSounds(found, sample_rate=4000)
    assert len(train) == len(test) == 3
    batch = collate([train[0, index] for index in range(3)])
    assert batch["lengths"].tolist()[:2] == [1600, 800]
    assert batch["x"].shape == (3, 1600)
    assert batch["target"].tolist()[:2] == [0, 1]
    assert batch["replaced"].tolist() == [False, False, True]
    assert "broken.wav" in batch["error"][2]
    again = train[0, 2]
    assert torch.equal(again["x"], batch["x"][2][: batch["lengths"][2]])
    assert {train[epoch, 2]["index"] for epoch in range(10)} == {0, 1}
    wrong = test[2]
    assert (wrong["x"].tolist(), int(wrong["target"]), wrong["index"]) == ([0.0], 1, 2)
    assert "broken.wav" in wrong["error"]
    assert [len(item["x"]) for item in test] == [800, 400, 1]


def test_a_data_set_in_which_nothing_can_be_read(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.wav").touch()
    train = TrainSounds(load_sound_list(tmp_path), sample_rate=8000, seed=0)
    with pytest.raises(SoundError, match=rf"{MAX_REPLACEMENTS + 1} sounds drawn .* the first: .*a\.wav: the file is e"):
        train[0, 0]
