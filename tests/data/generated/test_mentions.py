"""The question about a masked mention has one answer, which no other mention of the name gives away."""

from collections import Counter

import pytest
import torch

from nonlocalnet.data.generated.mentions import MASK, Mentions, guesses, python_topics

NAMES = ("alpha", "beta", "gamma", "delta")
# Every sentence says which name it is about by a word of its own, so that what was masked can be told.
PROSE = " ".join(
    f'The {word} of "{name}" is {number}, for {name} has it.'
    for number in range(6)
    for word, name in zip(("colour", "weight", "length", "price"), NAMES, strict=True)
)


def test_an_item_is_the_prose_with_names_for_bytes():
    task = Mentions([PROSE], num_items=40, length=300, num_candidates=3, min_distance=60, after=10, seed=0)
    for index in range(len(task)):
        item = task[index]
        x = bytes(item["x"].tolist())
        right = bytes([int(item["target"]) + 1])
        assert x.count(bytes([MASK])) == 1
        before, after = x.split(bytes([MASK]))
        assert len(x) <= 300
        assert len(after) <= 10
        assert {byte for byte in before if byte <= 8} == {1, 2, 3}
        assert len(before) - before.rindex(right) >= 60
        # Put the names back: for some choice of them it is a piece of the prose, and only the right one fits the mask.
        fitting = [answer for answer in (1, 2, 3) if _fits(x.replace(b"\0", bytes([answer])))]
        assert fitting == [right[0]]


def _fits(x: bytes) -> bool:
    def put_back(text: str, left: tuple[str, ...], byte: int) -> bool:
        if byte == 4:
            return text in PROSE
        return any(put_back(text.replace(chr(byte), name), tuple(set(left) - {name}), byte + 1) for name in left)

    return put_back(x.decode(), NAMES, 1)


def test_every_answer_is_as_frequent_whatever_the_name():
    task = Mentions([PROSE], num_items=2000, length=300, num_candidates=4, min_distance=0, after=0, seed=0)
    answers = Counter(int(task[index]["target"]) for index in range(len(task)))
    assert all(answers[answer] == pytest.approx(500, abs=100) for answer in range(4))


def test_items_are_functions_of_seed_and_index():
    one, other = (Mentions([PROSE], num_items=5, length=300, min_distance=0, after=0, seed=s) for s in (0, 1))
    again = Mentions([PROSE], num_items=5, length=300, min_distance=0, after=0, seed=0)
    assert all(torch.equal(again[7, index]["x"], one[index]["x"]) for index in (4, 0))
    assert any(not torch.equal(one[index]["x"], other[index]["x"]) for index in range(5))
    with pytest.raises(IndexError):
        one[5]


def test_guesses():
    assert guesses(torch.tensor([9, 3, 65, 3, 1, MASK, 2, 2, 2])) == (2, 0)


def test_pythons_own_reference_has_questions_enough_and_shares_none():
    train, test = python_topics("train"), python_topics("test")
    assert sum(map(len, train)) > 100_000
    assert len(test) > 5
    paragraphs = [{" ".join(p.split()) for text in part for p in text.split("\n\n") if p} for part in (train, test)]
    assert not {p for p in paragraphs[0] & paragraphs[1] if p}
    task = Mentions(test, num_items=3, seed=0)
    assert all(500 < len(task[index]["x"]) <= 2000 for index in range(3))
    assert task[0]["x"].max() < 256
    with pytest.raises(ValueError, match="part must be train or test, got 'val'"):
        python_topics("val")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_items": 0}, "num_items must be at least 1, got 0"),
        ({"num_candidates": 9}, "num_candidates must be from 2 to 8, got 9"),
        ({"length": 100}, "length must be at least 302, got 100"),
        ({"documents": ["no names here"]}, "none of 1 documents mentions a name again after 4 names and 200 bytes"),
        ({"documents": [PROSE, "a\x02b"]}, "document 1 holds a control code below 9"),
    ],
)
def test_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Mentions(**{"documents": [PROSE], "num_items": 1, "seed": 0, **options})
