"""Masked units are zero as the decoder sees them, and named so that a reader knows which."""

import numpy as np
import pytest

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.fold import animal_folds
from calsweep.datasets.manifest import ImageFormat
from calsweep.datasets.mask import WIDEFIELD_GROUPS, CentralUnits, CutOut, RandomUnits, UnitMask
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.store import FolderStore
from calsweep.datasets.transform import MinMax, Scope, Transforms, ZScore
from calsweep.datasets.view import View, check_windows, split_fold
from calsweep.datasets.window import Window
from calsweep.platform.config import compose_settings, variant_target, variants
from calsweep.platform.plain import from_plain, to_plain

REGIONS = tuple(f"region{i}" for i in range(1, 51))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masked")
    recordings = Simulation(n_mice=3, n_frames=300).recordings()
    write_dataset(recordings, folder=folder / "data")
    return open_dataset(FolderStore(folder / "data"), cache=Cache(folder / "cache"))


@pytest.fixture
def manifest(timeline_of):
    def make(units=REGIONS, positions=None):
        recording = ("m1", "a", [0, 1])
        return timeline_of([recording], units=units, positions=positions).manifest

    return make


def regions(mask, manifest):
    return [i + 1 for i in np.flatnonzero(mask.seen(manifest))]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("FLa&HLa", [6, 8, 31, 33]),
        ("M2&M1", [1, 2, 3, 4, 26, 27, 28, 29]),
        ("FL&HL", [6, 7, 8, 9, 31, 32, 33, 34]),
        ("PT&RS", [14, 15, 16, 17, 39, 40, 41, 42]),
        ("V1&Vm", [18, 19, 20, 21, 43, 44, 45, 46]),
        ("Vl&A1", [22, 23, 24, 25, 47, 48, 49, 50]),
    ],
)
def test_groups_of_w(manifest, name, expected):
    assert regions(UnitMask(keep=name), manifest()) == expected
    others = [i for i in range(1, 51) if i not in expected]
    assert regions(UnitMask(keep=f"not {name}"), manifest()) == others
    assert UnitMask(keep=name).label == f"only {name}"
    assert UnitMask(keep=f"not {name}").label == f"all but {name}"


def test_units_by_name_number_and_own_group(manifest):
    own = {"eyes": ("region50", 0)}
    assert regions(UnitMask(keep="region7"), manifest()) == [7]
    assert regions(UnitMask(keep=(0, "region3", "eyes"), groups=own), manifest()) == [1, 3, 50]
    assert regions(UnitMask(keep="not eyes", groups=own), manifest()) == list(range(2, 50))
    assert regions(UnitMask(), manifest()) == list(range(1, 51))
    assert UnitMask().label == ""


def test_random_units_are_a_share_or_a_number_and_fewer_are_among_more(manifest):
    half, quarter = (set(regions(RandomUnits(share=s), manifest())) for s in (0.5, 0.25))
    assert (len(half), len(quarter)) == (25, 12)
    assert quarter < half
    assert half != set(regions(RandomUnits(share=0.5, seed=1), manifest()))
    assert len(regions(RandomUnits(n_units=3), manifest())) == 3
    assert RandomUnits(share=1 / 16).label == "only 0.0625 of all units at random (seed 0)"


def test_central_units_are_nearest_to_the_middle(manifest):
    positions = ((0.0, 0.0), (10.0, 10.0), (4.0, 5.0), (9.0, 1.0))
    there = manifest(units=("a", "b", "c", "d"), positions=positions)
    assert CentralUnits(n_units=1).seen(there).tolist() == [False, False, True, False]
    assert CentralUnits(share=0.5).seen(there).tolist() == [False, False, True, True]


def test_compartments_cover_every_pixel_four_times_and_wrap():
    images = ImageFormat(height=128, width=128, dtype="uint16")
    assert CutOut(compartment=0).n_compartments(images) == 64
    covered_HW = sum(CutOut(compartment=i).masked(images).astype(int) for i in range(64))
    assert (covered_HW == 4).all()
    last_HW = CutOut(compartment=63).masked(images)
    rows, columns = (np.flatnonzero(last_HW.any(axis=axis)).tolist() for axis in (1, 0))
    assert rows == columns == [*range(16), *range(112, 128)]
    ninth_HW = CutOut(compartment=9).masked(images)  # row 1, column 1
    assert ninth_HW[16:48, 16:48].all()
    assert ninth_HW.sum() == 1024


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (UnitMask(keep="FLa&HLb"), r"'FLa&HLb' is none of its 50 .*Groups: FLa&HLa"),
        (UnitMask(keep=50), "50 is none of its 50"),
        (UnitMask(keep=-1), "-1 is none of its 50"),
        (UnitMask(keep="not all"), "leaves none"),
        (UnitMask(keep="g", groups={"g": ("x",)}), "'x' of the group 'g' is none"),
        (RandomUnits(n_units=51), "`n_units <= 50`"),
        (CentralUnits(n_units=5), "no recording of the dataset has places"),
        (CutOut(compartment=0), "a compartment is cut out of images"),
    ],
)
def test_what_the_dataset_does_not_have_is_told(manifest, mask, message):
    with pytest.raises(ValueError, match=message):
        mask.seen(manifest())


def test_groups_of_w_on_other_units_are_told(manifest):
    with pytest.raises(ValueError, match="'region6' of the group 'FLa&HLa' is none of its 2"):
        UnitMask(keep="FLa&HLa").seen(manifest(units=("a", "b")))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UnitMask(keep=()), "at least one"),
        (lambda: RandomUnits(), "one of `share` and `n_units`"),
        (lambda: RandomUnits(share=0.5, n_units=3), "one of `share` and `n_units`"),
        (lambda: CentralUnits(share=1.5), "0 < share <= 1"),
        (lambda: CutOut(compartment=-1), "compartment >= 0"),
        (
            lambda: CutOut(compartment=64).masked(
                ImageFormat(height=128, width=128, dtype="uint8")
            ),
            "`compartment < 64`",
        ),
        (
            lambda: CutOut(compartment=0).masked(ImageFormat(height=100, width=128, dtype="uint8")),
            "multiple of `stride_px`",
        ),
    ],
)
def test_settings_that_cannot_be_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "scaling", [None, MinMax(), ZScore(), ZScore(over=Scope.RECORDING)], ids=str
)
def test_masked_units_are_zero_after_scaling_and_others_as_without(dataset, tmp_path, scaling):
    mask = UnitMask(keep="FLa&HLa")
    seen_N = mask.seen(dataset.manifest)
    fold = animal_folds(dataset.manifest, target="run", k=3).folds[0]

    def scaled(mask):
        view = View(
            address="",
            target="run",
            window=Window(length=5),
            transforms=Transforms(scaling=scaling),
            mask=mask,
        )
        check_windows(dataset.manifest, view)
        data = split_fold(dataset, view, fold, seed=0, cache=Cache(tmp_path))
        return (data.test.frames - data.scaling.offset_N) * data.scaling.scale_N

    masked_TN, whole_TN = scaled(mask), scaled(UnitMask())
    assert (masked_TN[:, ~seen_N] == 0).all()
    assert np.array_equal(masked_TN[:, seen_N], whole_TN[:, seen_N])
    assert np.abs(masked_TN[:, seen_N]).max() > 0


@pytest.mark.parametrize("variant", variants("datasets/masks"))
def test_every_variant_composes_and_goes_through_plain_data(variant):
    view = compose_settings(["datasets.address=m1", f"datasets/masks={variant}"]).datasets
    target = variant_target("datasets/masks", variant)
    assert f"{type(view.mask).__module__}.{type(view.mask).__qualname__}" == target
    assert from_plain(to_plain(view)) == view


def test_search_over_the_groups_of_w(manifest):
    settings = compose_settings(["datasets.address=m1", "search_spaces=mask"])
    (axis,) = settings.search_spaces.axes.items()
    assert axis[0] == "datasets.mask.keep"
    for name in axis[1].grid():
        mask = settings.configuration({"datasets.mask.keep": name}).datasets.mask
        assert mask.seen(manifest()).sum() == (
            50 if name == "all" else 46 if name == "not FLa&HLa" else len(WIDEFIELD_GROUPS[name])
        )
