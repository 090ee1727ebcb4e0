import h5py
import numpy as np
import pytest
import scipy.io

from calsweep.datasets.matlab import read_variables

DTYPES = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?")


@pytest.mark.parametrize("how", [{}, {"do_compression": True}])
def test_reads_what_scipy_reads(tmp_path, how):
    rng = np.random.default_rng(0)
    arrays = {f"a_{i}": rng.integers(0, 2, (3, 70)).astype(d) for i, d in enumerate(DTYPES)}
    arrays |= {"long_name_of_a_variable_that_matlab_takes": np.arange(6.0).reshape(1, 2, 3)}
    arrays |= {"x": np.array([[1.5]]), "none": np.zeros((0, 3))}
    others = {"text": "run", "cell": np.array([1, "a"], dtype=object), "struct": {"a": 1}}
    scipy.io.savemat(tmp_path / "a.mat", {**others, **arrays}, **how)
    ours = read_variables(tmp_path / "a.mat", names=tuple(arrays))
    theirs = scipy.io.loadmat(tmp_path / "a.mat")
    for name in arrays:
        assert ours[name].dtype == theirs[name].dtype
        assert ours[name].shape == theirs[name].shape
        assert ours[name].tolist() == theirs[name].tolist()
    assert len(arrays) == 14


def test_whole_numbers_stored_narrow_are_doubles(tmp_path):
    """MATLAB stores a double array of small whole numbers in bytes: type uint8, class double."""
    scipy.io.savemat(tmp_path / "a.mat", {"run": np.array([[0, 1, 1, 0]], dtype=np.uint8)})
    raw = bytearray((tmp_path / "a.mat").read_bytes())
    assert raw[144] == 9  # class uint8
    raw[144] = 6  # double
    (tmp_path / "a.mat").write_bytes(raw)
    run = read_variables(tmp_path / "a.mat", names=("run",))["run"]
    assert (run.dtype, run.tolist()) == (np.float64, [[0.0, 1.0, 1.0, 0.0]])


def write_73(file, **arrays):
    """As MATLAB writes version 7.3: a text header of 512 bytes, axes the other way round."""
    with h5py.File(file, "w", userblock_size=512) as opened:
        for name, values in arrays.items():
            opened[name] = np.asarray(values).T
            opened[name].attrs["MATLAB_class"] = np.bytes_("double")
        opened["text"] = np.array([[114], [117], [110]], dtype=np.uint16)
        opened["text"].attrs["MATLAB_class"] = np.bytes_("char")
        opened["struct/a"] = np.zeros((1, 1))
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124)
    with file.open("r+b") as opened:
        opened.write(header + b"\x00\x02IM")


def test_reads_version_7_3_the_right_way_round(tmp_path):
    dat_roi = np.arange(6.0).reshape(2, 3)
    write_73(tmp_path / "a.mat", dat_roi=dat_roi)
    assert read_variables(tmp_path / "a.mat", names=("dat_roi",))["dat_roi"].tolist() == [
        [0.0, 1.0, 2.0],
        [3.0, 4.0, 5.0],
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", r"no array `none` for a variable. Arrays: dat_roi \(3, 2\), struct/, text"),
        ("text", "`text` must hold numbers, but holds text"),
        ("struct", "`struct` must be an array of numbers"),
    ],
)
def test_what_is_no_array_in_version_7_3_is_told(tmp_path, name, message):
    write_73(tmp_path / "a.mat", dat_roi=np.zeros((2, 3)))
    with pytest.raises(ValueError, match=message):
        read_variables(tmp_path / "a.mat", names=(name,))


@pytest.mark.parametrize("name", ["text", "cell", "struct", "complex", "sparse"])
def test_what_is_no_array_is_told(tmp_path, name):
    variables = {
        "text": "run",
        "cell": np.array([1, "a"], dtype=object),
        "struct": {"a": 1},
        "complex": np.array([1j]),
        "sparse": scipy.sparse.csc_matrix(np.eye(3)),
    }
    scipy.io.savemat(tmp_path / "a.mat", variables)
    with pytest.raises(ValueError, match=f"`{name}` must hold real numbers"):
        read_variables(tmp_path / "a.mat", names=(name,))


def test_version_4_is_told_with_the_way_out(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"dat_roi": np.eye(3)}, format="4")
    with pytest.raises(ValueError, match=r"no \.mat file of version 5 or later.*`-v7`"):
        read_variables(tmp_path / "a.mat", names=("dat_roi",))


@pytest.mark.parametrize("how", [{}, {"do_compression": True}])
def test_a_flipped_byte_never_ends_the_process(tmp_path, how):
    """scipy.io.loadmat dies of some of these (segmentation fault); here each is an error or not."""
    scipy.io.savemat(
        tmp_path / "a.mat", {"dat_roi": np.arange(40.0).reshape(4, 10), "run": np.eye(2)}, **how
    )
    whole = (tmp_path / "a.mat").read_bytes()
    n_told = 0
    for at in range(len(whole)):
        for flip in (0x01, 0xFF):
            raw = bytearray(whole)
            raw[at] ^= flip
            (tmp_path / "b.mat").write_bytes(raw)
            try:
                read_variables(tmp_path / "b.mat", names=("dat_roi", "run"))
            except ValueError:
                n_told += 1
    assert n_told > 100
