import h5py
import numpy as np
import pytest
import scipy.sparse

from calsweep.datasets.caiman import CaimanSource, Trace

C_NT = np.arange(12.0).reshape(3, 4)


@pytest.fixture
def save(tmp_path):
    """As CaImAn's `save_dict_to_hdf5` does: None is text, sparse matrices are groups."""

    def save(**changes):
        footprints = scipy.sparse.csc_matrix(
            # pixels of a 2 x 3 image, column by column: (0,0), (1,0), (0,1), (1,1), (0,2), (1,2)
            np.array([[1, 0, 0], [0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 1], [0, 0, 3]], float)
        )
        content = {
            "estimates/C": C_NT,
            "estimates/S": C_NT / 2,
            "estimates/F_dff": C_NT * 2,
            "estimates/idx_components": np.array([2, 0]),
            "dims": np.array([2, 3]),
            "params/data/fr": 15,
            **{
                f"estimates/A/{name}": np.asarray(getattr(footprints, name))
                for name in ("data", "indices", "indptr", "shape")
            },
            **changes,
        }
        file = tmp_path / "m1_d1.hdf5"
        with h5py.File(file, "w") as opened:
            for name, values in content.items():
                if values is not None:
                    opened[name] = values
        return file

    return save


def read(file, **options):
    return CaimanSource(behavior=False, **options).read(file)


def test_accepted_components_lie_where_their_footprints_do(save):
    recording = read(save())
    assert recording.units == ("component0", "component2")
    assert recording.activity_TN.tolist() == C_NT[[0, 2]].T.tolist()
    assert recording.positions_ND.tolist() == [[0.0, 0.5], [0.75, 2.0]]
    assert recording.position_unit == "pixel"
    assert recording.rate_hz == 15.0
    assert recording.steps == (
        "activity is CaImAn's `C`",
        "1 of 3 components rejected by CaImAn",
    )


def test_options_say_which_trace_and_rate(save):
    file = save(**{"params/data/fr": None})
    recording = read(file, activity=Trace.F_DFF, all_components=True, rate_hz=7.5)
    assert recording.activity_TN.tolist() == (C_NT * 2).T.tolist()
    assert recording.units == ("component0", "component1", "component2")
    assert recording.positions_ND[1].tolist() == [1.0, 1.0]
    assert recording.rate_hz == 7.5


@pytest.mark.parametrize("name", ["dims", "estimates/A/data"])
def test_without_footprints_units_lie_nowhere(save, name):
    changes = {name: None}
    if name != "dims":
        changes |= {f"estimates/A/{part}": None for part in ("indices", "indptr", "shape")}
    recording = read(save(**changes))
    assert recording.positions_ND is None
    assert recording.position_unit == ""


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"estimates/F_dff": "NoneType"}, {"activity": Trace.F_DFF}, "`F_dff` must be an array"),
        ({"estimates/idx_components": "NoneType"}, {}, "were not judged.*`--all-components`"),
        ({"estimates/idx_components": np.array([3])}, {}, "must name some of 3 components"),
        ({"params/data/fr": None}, {}, r"give it as a number, `--rate-hz`"),
        ({"params/data/fr": -1}, {}, "`rate_hz > 0` must hold"),
        ({"dims": np.array([2, 4])}, {}, "over 2 x 4 pixels, column by column, but does not"),
        ({"estimates/A/indptr": np.array([0, 2, 9, 5])}, {}, "must hold one footprint for each"),
        ({"estimates/C": np.zeros(3)}, {}, r"`estimates/C` must be numbers of shape \(unit, time"),
    ],
)
def test_what_does_not_fit_is_told_with_the_file(save, changes, options, message):
    file = save(**changes)
    with pytest.raises(ValueError, match=message) as told:
        read(file, **options)
    assert str(file) in str(told.value)


def test_other_hdf5_is_told(tmp_path):
    with h5py.File(tmp_path / "m1.h5", "w") as opened:
        opened["x"] = 1
    with pytest.raises(ValueError, match="these are no results of CaImAn"):
        read(tmp_path / "m1.h5")
