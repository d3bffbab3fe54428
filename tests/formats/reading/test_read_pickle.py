"""Pickles of arrays are read; whatever else a pickle asks for is refused by its name, and nothing is run."""

import os
import pickle
import pickletools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formats.originals import python2
from nonlocalnet.formats.reading.read_pickle import read_pickle

ARRAYS = {
    "f4": np.arange(6, dtype=np.float32).reshape(2, 3),
    "f8": np.array(0.5),
    "big endian": np.arange(3, dtype=">f4"),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "i8": np.array([1, -2, 3]),
    "bool": np.array([True, False]),
    "u1": np.arange(256, dtype=np.uint8),
    "f2": np.array([1.5], dtype=np.float16),
}


def write(tmp_path, content):
    path = tmp_path / "file.pkl"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_arrays_numbers_and_text_come_back(tmp_path, protocol):
    content = {"blobs": ARRAYS, "model_iter": 400000, "lr": np.float32(0.1), "name": "net", "list": [1, (2, None)]}
    found = read_pickle(write(tmp_path, pickle.dumps(content, protocol=protocol)))
    assert found["model_iter"] == 400000
    assert found["lr"] == pytest.approx(0.1)
    assert found["list"] == [1, (2, None)]
    for name, array in ARRAYS.items():
        assert found["blobs"][name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found["blobs"][name], array)


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_pickles_of_python_2(tmp_path, protocol):
    arrays = {"f4": ARRAYS["f4"], "0-d": np.array(1e-4, dtype=np.float32)}
    found = read_pickle(write(tmp_path, python2.dumps({"blobs": arrays, "model_iter": 3}, protocol=protocol)))
    assert all(np.array_equal(found["blobs"][name], array) for name, array in arrays.items())


class Calls:
    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


def test_code_is_refused_by_the_name_it_asks_for(tmp_path):
    marker = tmp_path / "ran"
    hostile = {
        "posix.system": Calls(os.system, f"touch {marker}"),
        "builtins.eval": Calls(eval, f"open({str(marker)!r}, 'w')"),
        "builtins.getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "numpy.load": Calls(np.load, "x.npy"),
        "collections.OrderedDict": __import__("collections").OrderedDict(a=1),
        "numpy.zeros": Calls(np.zeros, 10**15),
    }
    for name, value in hostile.items():
        for content in (value, {"w": value}, {"blobs": {"w": [1, (value,)]}}):
            path = write(tmp_path, pickle.dumps(content, protocol=2))
            with pytest.raises(ValueError, match="is refused: its pickle asks to load") as error:
                read_pickle(path)
            module = name.replace("builtins", "__builtin__")
            assert any(part in str(error.value) for part in (name, module, "numpy", "__import__")), name
    assert not marker.exists()


def test_nested_reduce_inside_an_array_is_refused(tmp_path):
    """An array whose state is made by a call."""
    inner = Calls(os.system, f"touch {tmp_path / 'ran'}")
    state = (1, (1,), np.dtype("f4"), False, inner)

    class Array:
        def __reduce__(self):
            reconstruct = np.zeros(1).__reduce__()[0]
            return (reconstruct, (np.ndarray, (0,), b"b"), state)

    with pytest.raises(ValueError, match=r"asks to load posix\.system"):
        read_pickle(write(tmp_path, pickle.dumps({"w": Array()}, protocol=2)))
    assert not (tmp_path / "ran").exists()


def test_object_arrays_are_refused(tmp_path):
    content = pickle.dumps({"w": np.array([{"a": 1}, None], dtype=object)}, protocol=2)
    with pytest.raises(ValueError, match=r"an array of 'O8?', which is not of plain numbers"):
        read_pickle(write(tmp_path, content))


def test_ndarray_cannot_be_called(tmp_path):
    """numpy.ndarray((10**12,)) would allocate before anything is checked."""

    class Allocates:
        def __reduce__(self):
            return (np.ndarray, ((10**12,),))

    with pytest.raises(ValueError, match="is refused"):
        read_pickle(write(tmp_path, pickle.dumps({"w": Allocates()}, protocol=2)))


def test_a_size_that_is_not_there_is_refused_before_allocation(tmp_path):
    class Lies:
        def __reduce__(self):
            reconstruct = np.zeros(1).__reduce__()[0]
            return (reconstruct, (np.ndarray, (0,), b"b"), (1, (10**6, 10**9), np.dtype("f8"), False, b"12345678"))

    with pytest.raises(ValueError, match=r"declares the shape \(1000000, 1000000000\) .* and holds 8 bytes"):
        read_pickle(write(tmp_path, pickle.dumps({"w": Lies()}, protocol=2)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "the file holds a list, not a dictionary of arrays by name"),
        ({1: np.zeros(1)}, "has the key 1, which is not text"),
        ({"blobs": {(1, 2): 3}}, r"its entry 'blobs' has the key \(1, 2\), which is not text"),
        ({"w": np.dtype("f4")}, "w is neither an array, a number nor text"),
        ({"w": np.ndarray}, "w is neither an array, a number nor text"),
    ],
)
def test_what_is_no_dictionary_of_arrays(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_pickle(write(tmp_path, pickle.dumps(content, protocol=2)))


def outcome(path):
    """Any other exception, or result, is a failure."""
    try:
        found = read_pickle(path)
    except ValueError as error:
        return "an error that names the file" if path.name in str(error) else str(error)
    return "a dictionary" if isinstance(found, dict) else repr(found)


@settings(max_examples=60, deadline=None)
@given(kept=st.integers(0, 400))
def test_truncated(tmp_path_factory, kept):
    whole = pickle.dumps({"w": np.arange(50, dtype=np.float32), "v": 1}, protocol=2)
    path = tmp_path_factory.mktemp("pickles") / "cut.pkl"
    path.write_bytes(whole[: min(kept, len(whole) - 1)])
    with pytest.raises(ValueError, match=r"cut\.pkl"):
        read_pickle(path)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_give_a_dictionary_or_one_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("pickles") / "any.pkl"
    path.write_bytes(content)
    assert outcome(path) in ("a dictionary", "an error that names the file")


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_changed_byte_runs_nothing(tmp_path_factory, place, value):
    content = bytearray(pickle.dumps({"w": np.arange(4, dtype=np.float32)}, protocol=2))
    content[place % len(content)] = value
    path = tmp_path_factory.mktemp("pickles") / "changed.pkl"
    path.write_bytes(bytes(content))
    assert outcome(path) in ("a dictionary", "an error that names the file")


def test_the_genuine_names_are_all_that_a_written_file_asks_for():
    """The list of spec: what numpy pickles name. A check that the hostile ones above are not simply unpicklable."""
    names = {arg for op, arg, _ in pickletools.genops(pickle.dumps(ARRAYS, protocol=2)) if op.name == "GLOBAL"}
    modules = {name.replace("numpy._core", "numpy.core") for name in names}
    assert modules <= {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype", "_codecs encode"}
