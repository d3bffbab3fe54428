"""Bytes and words as numbers, and the data sets over them."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nonlocalnet.data.padded import IGNORED, collate
from nonlocalnet.data.text.coded import CodedTexts, TaggedTokens
from nonlocalnet.data.text.coding import PADDING, UNKNOWN, ByteCoder, WordCoder, build_vocabulary, words_of
from nonlocalnet.data.text.tagged import Sentence, TaggedList
from nonlocalnet.data.text.text_list import TextEntry, TextList


@given(st.text())
def test_bytes_come_back(text):
    coder = ByteCoder()
    numbers = coder.encode(text)
    assert numbers.dtype == torch.int64
    assert coder.decode(torch.cat((numbers, torch.tensor([coder.padding])))) == text


def test_the_vocabulary_is_ranked_by_count_and_then_by_the_alphabet():
    coder = build_vocabulary(words_of("b a c. A b a, d"))
    assert coder.words == (PADDING, UNKNOWN, "a", "b", ",", ".", "c", "d")
    assert coder.size == 8
    assert coder.encode("A zebra, b").tolist() == [2, 1, 4, 3]
    assert build_vocabulary(words_of("b a c. A b a, d"), min_count=2).words[2:] == ("a", "b")
    assert build_vocabulary(words_of("b a c. A b a, d"), max_words=1).words[2:] == ("a",)
    kept = build_vocabulary(["A", "a", "A"], lower=False)
    assert kept.words[2:] == ("A", "a")
    assert kept.encode_tokens(["a", "A", "B"]).tolist() == [3, 2, 1]


def test_no_text_has_the_number_of_padding():
    coder = build_vocabulary([PADDING, UNKNOWN, "a"])
    assert coder.words == (PADDING, UNKNOWN, "a")
    assert coder.encode_tokens([PADDING, UNKNOWN, "a"]).tolist() == [1, 1, 2]


def test_vocabularies_that_are_none():
    with pytest.raises(ValueError, match="no word stands 3 times or more among 2 tokens; lower min_count"):
        build_vocabulary(["a", "b"], min_count=3)
    with pytest.raises(ValueError, match="min_count must be at least 1, got 0"):
        build_vocabulary(["a"], min_count=0)
    with pytest.raises(ValueError, match="max_words must be at least 1, got 0"):
        build_vocabulary(["a"], max_words=0)
    with pytest.raises(ValueError, match="words must begin with <padding> and <unknown>"):
        WordCoder(("a", "b"))
    with pytest.raises(ValueError, match="more than once"):
        WordCoder((PADDING, UNKNOWN, "a", "a"))


def test_data_sets():
    texts = TextList((TextEntry("abc", 1), TextEntry("é", 0)), None, "list")
    coded = CodedTexts(texts, ByteCoder())
    batch = collate([coded[0], coded[5, 1]], padding=ByteCoder.padding)
    assert batch["x"].tolist() == [[97, 98, 99], [195, 169, 256]]
    assert batch["target"].tolist() == [1, 0]
    assert CodedTexts(texts, ByteCoder(), max_length=2)[0]["x"].tolist() == [97, 98]
    assert len(coded) == 2
    with pytest.raises(IndexError):
        coded[2]
    with pytest.raises(ValueError, match="max_length must be at least 1, got 0"):
        CodedTexts(texts, ByteCoder(), max_length=0)

    tagged = TaggedList((Sentence(("The", "cat"), (0, 1)), Sentence(("Dog",), (1,))), ("D", "N"), "list")
    tokens = TaggedTokens(tagged, build_vocabulary(["the", "cat"]))
    loader = torch.utils.data.DataLoader(tokens, batch_size=2, collate_fn=partial(collate, padding=WordCoder.padding))
    (batch,) = loader
    assert batch["x"].tolist() == [[3, 2], [1, 0]]
    assert batch["target"].tolist() == [[0, 1], [1, IGNORED]]
    cut = TaggedTokens(tagged, build_vocabulary(["the", "cat"]), max_length=1)[0]
    assert (cut["x"].tolist(), cut["target"].tolist()) == ([3], [0])
