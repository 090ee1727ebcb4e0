"""Pickles of others are read as data; what would run if they were unpickled does not."""

import collections
import datetime
import os
import pathlib
import pickle

import numpy as np
import pytest

from calsweep.datasets.pickled import Unknown, plain, read_object_array, read_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
PLAIN = {
    "whole": [0, 1, -1, 255, 65_536, 2**40, -(2**80)],
    "float": 0.1,
    "text": "µm",
    "none": None,
    "flags": (True, False),
    "nested": {"a": {"b": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)]}},
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_are_read_as_pickle_would(protocol):
    assert read_pickle(pickle.dumps(PLAIN, protocol=protocol)) == PLAIN


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["b1", "i4", "<f4", ">f8", "u2", "i8", "f2"])
def test_arrays_of_numbers_are_read_as_numpy_would(protocol, kind):
    array = (np.arange(6) % 2).astype(kind).reshape(2, 3)
    for written in (array, np.asfortranarray(array), array[:, ::2], array[0]):
        read = plain(read_pickle(pickle.dumps(written, protocol=protocol)))
        assert read.dtype == written.dtype
        assert read.tolist() == written.tolist()
    scalar = array.dtype.type(1)
    assert plain(read_pickle(pickle.dumps(scalar, protocol=protocol))) == 1


def test_shared_and_circular_data_end(tmp_path):
    shared = [1, 2]
    circular = [shared, shared]
    circular.append(circular)
    read = read_pickle(pickle.dumps(circular))
    assert read[0] is read[1]
    assert read[2] is read


def test_file_of_a_dictionary_or_of_many(tmp_path):
    np.save(tmp_path / "ops.npy", {"fs": np.float64(7.5), "Ly": 512})
    assert read_object_array(tmp_path / "ops.npy") == [{"fs": 7.5, "Ly": 512}]
    rois = np.array([{"med": [1, 2]}, {"med": [3, 4]}], dtype=object)
    np.save(tmp_path / "stat.npy", rois)
    assert read_object_array(tmp_path / "stat.npy") == [{"med": [1, 2]}, {"med": [3, 4]}]


def test_what_is_not_plain_stays_unbuilt(tmp_path):
    ops = {
        "path": pathlib.PurePosixPath("/data"),
        "date": datetime.datetime(2024, 1, 1),
        "ordered": collections.OrderedDict(a=1),
        "words": np.array(["a", "b"]),
        "fs": 10.0,
    }
    np.save(tmp_path / "ops.npy", ops)
    (read,) = read_object_array(tmp_path / "ops.npy")
    assert read["fs"] == 10.0
    kinds = {name for name, value in read.items() if isinstance(value, Unknown)}
    assert kinds == {"path", "date", "ordered", "words"}


class Runs:
    """Makes a file when it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_program_in_a_pickle_does_not_run(tmp_path, protocol):
    ran = tmp_path / "ran"
    data = pickle.dumps({"fs": 10.0, "ops": Runs(ran)}, protocol=protocol)
    read = read_pickle(data)
    assert read["fs"] == 10.0
    assert read["ops"].name.endswith(".mkdir")
    assert not ran.exists()
    pickle.loads(data)
    assert ran.exists()  # it would have


def test_program_in_the_place_of_numpy_s_words_does_not_run(tmp_path):
    """Each argument of an array may be a program too."""
    ran = tmp_path / "ran"
    for name in ("numpy.core.multiarray._reconstruct", "numpy.core.numeric._frombuffer"):
        for state in (None, (1, (3,), Runs(ran), False, b""), Runs(ran)):
            built = Unknown(name=name, arguments=(Runs(ran),) * 4, state=state)
            assert plain(built) is built
    dtype = Unknown(name="numpy.dtype", arguments=("O",), state=(3, "|"))
    built = Unknown(
        name="numpy.core.multiarray._reconstruct", state=(1, (1,), dtype, False, b"\0" * 8)
    )
    assert plain(built) is built  # addresses of objects are never taken for objects
    assert not ran.exists()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_flipped_byte_is_told_or_harmless(protocol):
    whole = pickle.dumps({**PLAIN, "array": np.arange(4.0)}, protocol=protocol)
    told = 0
    for at in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            raw = bytearray(whole)
            raw[at] ^= flip
            try:
                read = read_pickle(bytes(raw))
            except ValueError:
                told += 1
                continue
            if isinstance(read, dict):
                [plain(value) for value in read.values()]
    assert 0 < told < 3 * len(whole)


def test_every_flipped_byte_of_a_header_is_told_or_harmless(tmp_path):
    file = tmp_path / "ops.npy"
    np.save(file, {"fs": 10.0})
    whole = file.read_bytes()
    told = 0
    for at in range(128):
        for flip in (0x01, 0x02, 0x80, 0xFF):
            raw = bytearray(whole)
            raw[at] ^= flip
            file.write_bytes(raw)
            try:
                read_object_array(file)
            except ValueError:
                told += 1
    assert told > 200


@pytest.mark.parametrize("n_bytes", [0, 5, 30, 100, 130, 150])
def test_truncated_file_is_told(tmp_path, n_bytes):
    file = tmp_path / "ops.npy"
    np.save(file, {"fs": 10.0, "Ly": 512})
    file.write_bytes(file.read_bytes()[:n_bytes])
    with pytest.raises(ValueError, match="no whole"):
        read_object_array(file)


def test_other_content_is_told(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3))
    with pytest.raises(ValueError, match="must hold dictionaries, but holds numbers"):
        read_object_array(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array([1, "a"], dtype=object))
    with pytest.raises(ValueError, match="must hold dictionaries, but holds something else"):
        read_object_array(tmp_path / "b.npy")
