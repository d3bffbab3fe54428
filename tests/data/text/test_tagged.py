"""A tagger's lines, in the forms in which they are published."""

import pytest

from nonlocalnet.data.text.tagged import Sentence, load_tagged

CONLL = """-DOCSTART- -X- O O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter NNP B-NP B-PER
"""


def write(folder, text, name="train.txt"):
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_conll(tmp_path):
    found = load_tagged(write(tmp_path, CONLL))
    assert found.tag_names == ("B-ORG", "B-PER", "O")
    assert found.sentences == (Sentence(("EU", "rejects"), (0, 2)), Sentence(("Peter",), (1,)))


@pytest.mark.parametrize(
    "text", ["\ufeffa X\r\nb Y\r\n\r\n\r\n# X", "\n\na\tX\nb\tY\n \t\n#\tX\n\n", "a  X\nb   Y \n\n# X"]
)
def test_white_space(tmp_path, text):
    found = load_tagged(write(tmp_path, text))
    assert found.sentences == (Sentence(("a", "b"), (0, 1)), Sentence(("#",), (0,)))


def test_a_token_of_two_words_after_which_a_tab_stands(tmp_path):
    assert load_tagged(write(tmp_path, "New York\tLOC\n")).sentences[0].tokens == ("New York",)


def test_words_of_a_header_are_words_elsewhere(tmp_path):
    assert load_tagged(write(tmp_path, "the O\ntoken TAG\n")).tag_names == ("O", "TAG")


def test_names_of_the_tags(tmp_path):
    path = write(tmp_path, "a X\nb Y\n")
    assert load_tagged(path, tags=["Y", "Z", "X"]).sentences == (Sentence(("a", "b"), (2, 0)),)
    write(tmp_path, "Y\nX\n", "classes.txt")
    assert load_tagged(path).tag_names == ("Y", "X")
    with pytest.raises(ValueError, match=r"train\.txt, line 2: tag 'Y' is not among the 2 tags \(X, O\)"):
        load_tagged(path, tags=["X", "O"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a X\nb\n", "line 2: expected `token TAG`, got 'b'"),
        (b"a\t\n", "line 1: expected `token TAG`, got 'a'"),
        (b"a\t X\n\tY\n", "line 2: expected `token TAG`, got 'Y'"),
        (b"a \xe9\n", r"line 1: not UTF-8 text \(byte 2 is 0xe9\)"),
        (b"Token\tPOS\tTag\na\tX\tO\n", r"line 1: 'Token\\tPOS\\tTag' is a header, no token with its tag; delete"),
        (b"word label\na O\n", "line 1: 'word label' is a header"),
        (b"\n\n", "no sentences"),
        (b"", "no sentences"),
    ],
)
def test_bad_files(tmp_path, content, message):
    path = tmp_path / "train.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"train\.txt.*{message}"):
        load_tagged(path)
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_tagged(tmp_path / "no.txt")
