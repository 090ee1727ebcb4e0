import numpy as np
import pytest

from calsweep.datasets.npz_frames import NpzFramesSource
from calsweep.datasets.shard_writer import write_dataset


@pytest.fixture
def save(tmp_path):
    folder = tmp_path / "m1_d1"
    folder.mkdir()

    def save(number, **changes):
        image = np.full((3, 4, 5), float(number)) + np.array([-1.0, 0.0, 1.0])[:, None, None]
        np.savez(folder / f"m1_d1_{number}.npz", **{"image": image, "label": number % 2, **changes})
        return folder

    return save


def test_middle_channel_is_the_frame_itself(save, tmp_path):
    for number in (9, 10, 12):
        folder = save(number)
    recording = NpzFramesSource().read(folder)
    assert recording.images.shape == (3, 4, 5)
    assert recording.images[0:3][:, 0, 0].tolist() == [9.0, 10.0, 12.0]
    assert recording.images.dtype == np.float32
    assert recording.steps == ("pixels converted from float64 to float32",)
    assert recording.behavior["label"].tolist() == [1, 0, 0]
    assert recording.behavior["label"].dtype.kind == "i"
    assert recording.trial_T.tolist() == [0, 0, 1]
    assert NpzFramesSource(channel=2).read(folder).images[1:2][0, 0, 0] == 11.0
    manifest = write_dataset([recording], folder=tmp_path / "dataset")
    assert (manifest.n_frames, manifest.images.dtype) == (3, "float32")


def test_images_are_read_when_they_are_asked_for(save):
    """The folder may hold hours of images: none but the first is opened before."""
    for number in (1, 2, 3):
        folder = save(number)
    recording = NpzFramesSource().read(folder)
    (folder / "m1_d1_3.npz").write_bytes(b"gone")
    assert recording.images[0:2].shape == (2, 4, 5)
    with pytest.raises(ValueError, match=r"m1_d1_3\.npz: this is no whole \.npz file"):
        recording.images[2:3]


def test_image_of_another_shape_or_type_is_told_by_file(save):
    save(1)
    folder = save(2, image=np.zeros((3, 4, 6)))
    with pytest.raises(ValueError, match=r"m1_d1_2\.npz: images of a recording must have one"):
        NpzFramesSource().read(folder).images[0:2]
    folder = save(2, image=np.zeros((3, 4, 5), dtype=np.float32))
    with pytest.raises(ValueError, match="this is float32 .* and the first is float64"):
        NpzFramesSource().read(folder).images[0:2]


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"image": np.zeros(3)}, {}, r"must have the shape \(height, width\)"),
        ({"image": np.zeros((4, 5), np.int64)}, {}, "but are int64. Convert them"),
        ({}, {"channel": 3}, "with a channel 3, but has"),
        ({"label": np.zeros(2)}, {}, r"`label` must be one number"),
        ({"label": "run"}, {}, r"`label` must be one number"),
    ],
)
def test_what_is_no_frame_is_told(save, changes, options, message):
    folder = save(1, **changes)
    with pytest.raises(ValueError, match=message) as told:
        NpzFramesSource(**options).read(folder)
    assert "m1_d1" in str(told.value)
