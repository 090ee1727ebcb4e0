import numpy as np
import pytest

from calsweep.datasets.simulation import CARRIERS, Simulation
from calsweep.datasets.widefield_images import OUTSIDE, WidefieldImages

MICE = Simulation(n_mice=2, recordings_per_mouse=2, n_frames=300)
SIMULATOR = WidefieldImages(mice=MICE)


@pytest.fixture(scope="module")
def seen():
    return next(SIMULATOR.recordings()), SIMULATOR.truth().recordings["mouse1_r1"]


def test_images_stand_beside_the_regions_of_the_same_mice(seen):
    recordings, plain = list(SIMULATOR.recordings()), list(MICE.recordings())
    assert [r.name for r in recordings] == ["mouse1_r1", "mouse1_r2", "mouse2_r1", "mouse2_r2"]
    for with_images, without in zip(recordings, plain, strict=True):
        assert np.array_equal(with_images.activity_TN, without.activity_TN)
        assert np.array_equal(with_images.behavior["run"], without.behavior["run"])
        assert with_images.images.shape == (300, 128, 128)
        assert with_images.images.dtype == np.uint16


def test_any_slice_gives_the_same_images_as_all_of_them(seen):
    images = seen[0].images
    whole = images[:]
    assert whole.dtype == np.uint16
    for frames in (slice(0, 1), slice(7, 20), slice(19, 300), slice(290, 400), slice(5, 50, 7)):
        assert np.array_equal(images[frames], whole[frames])
    assert images[300:310].shape == (0, 128, 128)


def test_same_seed_same_images_and_another_seed_others():
    def first(seed):
        mice = Simulation(n_mice=1, n_frames=60, seed=seed)
        return next(WidefieldImages(mice=mice, height=32, width=32).recordings()).images[:5]

    assert np.array_equal(first(1), first(1))
    assert not np.array_equal(first(1), first(2))


def test_noise_is_new_in_each_frame_and_recording():
    mice = Simulation(n_mice=1, n_frames=60, recordings_per_mouse=2)
    images = [r.images[:30].astype(float) for r in WidefieldImages(mice=mice).recordings()]
    noise = [stack - stack.mean(axis=0) for stack in images]
    outside = SIMULATOR.truth().recordings["mouse1_r1"]["region_HW"] == OUTSIDE
    assert abs(np.corrcoef(noise[0][0][outside], noise[0][1][outside])[0, 1]) < 0.1
    assert abs(np.corrcoef(noise[0][0][outside], noise[1][0][outside])[0, 1]) < 0.05


def test_shot_noise_is_half_as_much_again_as_that_of_light(seen):
    recording, truth = seen
    outside = truth["region_HW"] == OUTSIDE
    values = recording.images[:].astype(float)[:, outside]
    ratio = values.std(axis=0) / np.sqrt(values.mean(axis=0))
    assert ratio.mean() == pytest.approx(1.5, abs=0.03)


def test_each_region_is_seen_on_its_side_and_is_none_too_small(seen):
    region_HW = seen[1]["region_HW"]
    n_pixels = np.bincount(region_HW.ravel(), minlength=51)
    assert n_pixels[1:].min() >= 80
    assert 0.3 < n_pixels[0] / region_HW.size < 0.55
    column = {r: np.nonzero(region_HW == r)[1].mean() for r in range(1, 51)}
    assert all(column[r] < column[r + 25] for r in range(1, 26))
    row = [np.nonzero(region_HW == r)[0].mean() for r in range(1, 26)]
    assert row[0] < row[12] < row[24]


def test_pixels_of_a_region_follow_its_trace(seen):
    recording, truth = seen
    images = recording.images[:].astype(float)
    dff = images / images.mean(axis=0)
    for region in range(1, 51):
        seen_T = dff[:, truth["region_HW"] == region].mean(axis=1)
        assert np.corrcoef(seen_T, recording.activity_TN[:, region - 1])[0, 1] > 0.9
    outside_T = dff[:, truth["region_HW"] == OUTSIDE].mean(axis=1)
    assert outside_T.std() < 0.001


def test_weights_stand_where_the_carriers_are(seen):
    truth = seen[1]
    strongest = np.unique(truth["region_HW"][truth["weight_HW"] > 0.65])
    assert set(CARRIERS) >= set(strongest.tolist()) - {7, 9, 32, 34}
    assert set(CARRIERS) <= set(strongest.tolist())
    assert (truth["weight_HW"][truth["region_HW"] == OUTSIDE] == 0).all()


def test_mice_differ_in_vessels_tilt_and_place_and_recordings_of_one_do_not():
    truth = SIMULATOR.truth().recordings
    one, again, other = (truth[name] for name in ("mouse1_r1", "mouse1_r2", "mouse2_r1"))
    for name in ("region_HW", "brightness_HW"):
        assert np.array_equal(one[name], again[name])
        assert (one[name] != other[name]).mean() > 0.05
    on_cortex = one["region_HW"] != OUTSIDE
    light = one["brightness_HW"][on_cortex]
    assert light.min() < 0.6 * np.median(light)  # a vessel


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"height": 8}, "height >= 16"),
        ({"counts": 1e5}, "counts <= 40000"),
        ({"noise": -1.0}, "noise >= 0"),
    ],
)
def test_refuses_settings_out_of_range(wrong, message):
    with pytest.raises(ValueError, match=message):
        WidefieldImages(**wrong)
