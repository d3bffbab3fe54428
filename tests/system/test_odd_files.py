"""JSON of files that others wrote."""

import json

import pytest

from nonlocalnet.system.odd_files import parse_json


@pytest.mark.parametrize("content", ["[" * 99_999, '{"a":' * 99_999, "9" * 5000, "[1", "", b"\xff"])
def test_every_refusal_is_a_value_error(content: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        parse_json(content)


def test_what_is_json_is_read() -> None:
    held = {"a": [1, 2.5, None, "ü"]}
    assert parse_json(json.dumps(held)) == parse_json(json.dumps(held).encode()) == held
