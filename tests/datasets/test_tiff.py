import numpy as np
import pytest
import tifffile

from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.tiff import Layout, TiffSource

RNG = np.random.default_rng(0)
IMAGES_THW = RNG.integers(0, 60000, size=(20, 8, 6)).astype(np.uint16)


def read(file, **options):
    return TiffSource(rate_hz=30.0, behavior=False, **options).read(file)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"metadata": None},
        {"imagej": True},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"compression": "zlib"},
        {"tile": (16, 16)},
        {"rowsperstrip": 3},
    ],
)
def test_stacks_of_every_kind_read_back(tmp_path, how):
    tifffile.imwrite(tmp_path / "m1.tif", IMAGES_THW, photometric="minisblack", **how)
    recording = read(tmp_path / "m1.tif")
    assert recording.images.shape == (20, 8, 6)
    assert recording.images[0:20].tolist() == IMAGES_THW.tolist()
    assert recording.images[17:20].tolist() == IMAGES_THW[17:].tolist()
    assert recording.images[:2].dtype == np.dtype("uint16")
    assert (recording.units, recording.activity_TN.shape) == ((), (20, 0))


@pytest.mark.parametrize(
    ("dtype", "kept", "steps"),
    [
        ("uint8", "uint8", ()),
        ("int16", "int16", ()),
        ("float32", "float32", ()),
        ("float64", "float32", ("pixels converted from float64 to float32",)),
    ],
)
def test_pixels_keep_their_type_or_say_so(tmp_path, dtype, kept, steps):
    tifffile.imwrite(tmp_path / "m1.tif", IMAGES_THW.astype(dtype), photometric="minisblack")
    recording = read(tmp_path / "m1.tif")
    assert recording.images.dtype == kept
    assert recording.images[3:5].tolist() == IMAGES_THW[3:5].astype(dtype).astype(kept).tolist()
    assert recording.steps == steps


def test_folder_of_pages_is_a_recording_in_the_order_of_numbers(tmp_path):
    folder = tmp_path / "m1_d1"
    folder.mkdir()
    for i in (8, 9, 10, 12):  # 11 was lost
        tifffile.imwrite(folder / f"frame{i}.tif", IMAGES_THW[i])
    (tmp_path / "m1_d1.csv").write_text("run\n0\n1\n1\n0\n")
    source = TiffSource(rate_hz=30.0, layout=Layout.PAGES)
    assert source.files(tmp_path) == (folder,)
    recording = source.read(folder)
    assert recording.name == "m1_d1"
    assert recording.images[0:4].tolist() == IMAGES_THW[[8, 9, 10, 12]].tolist()
    assert recording.trial_T.tolist() == [0, 0, 0, 1]
    assert recording.behavior["run"].tolist() == [0, 1, 1, 0]
    manifest = write_dataset([recording], folder=tmp_path / "dataset")
    assert manifest.images.height == 8


def test_page_of_another_shape_is_told_when_it_is_read(tmp_path):
    folder = tmp_path / "m1_d1"
    folder.mkdir()
    tifffile.imwrite(folder / "1.tif", IMAGES_THW[0])
    tifffile.imwrite(folder / "2.tif", IMAGES_THW[0, :4])
    recording = read(folder, layout=Layout.PAGES)
    assert recording.images[0:1].tolist() == IMAGES_THW[:1].tolist()
    with pytest.raises(ValueError, match=r"2\.tif: a file must hold one page of the same shape"):
        recording.images[0:2]


@pytest.mark.parametrize(
    ("images", "how", "message"),
    [
        (np.zeros((4, 8, 6, 3), np.uint8), {"photometric": "rgb"}, "in shades of gray"),
        (np.zeros((4, 2, 8, 6), np.uint8), {"photometric": "minisblack"}, "in shades of gray"),
        (np.zeros((4, 8, 6), np.uint32), {"photometric": "minisblack"}, "but are uint32. Convert"),
    ],
)
def test_images_of_another_kind_are_told(tmp_path, images, how, message):
    tifffile.imwrite(tmp_path / "m1.tif", images, **how)
    with pytest.raises(ValueError, match=message) as told:
        read(tmp_path / "m1.tif")
    assert "m1.tif" in str(told.value)


@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"imagej": True}])
def test_stack_that_is_cut_off_is_refused_or_whole(tmp_path, how):
    tifffile.imwrite(tmp_path / "m1.tif", IMAGES_THW, photometric="minisblack", **how)
    whole = (tmp_path / "m1.tif").read_bytes()
    for n_bytes in range(0, len(whole), 211):
        (tmp_path / "m2.tif").write_bytes(whole[:n_bytes])
        try:
            images_THW = read(tmp_path / "m2.tif").images[0:20]
        except ValueError:
            continue
        assert images_THW.tolist() == IMAGES_THW.tolist()


def test_pages_that_go_round_in_a_circle_are_told(tmp_path):
    tifffile.imwrite(tmp_path / "m1.tif", IMAGES_THW[0], photometric="minisblack", metadata=None)
    raw = bytearray((tmp_path / "m1.tif").read_bytes())
    first = int.from_bytes(raw[4:8], "little")
    n_entries = int.from_bytes(raw[first : first + 2], "little")
    at_next = first + 2 + 12 * n_entries
    raw[at_next : at_next + 4] = raw[4:8]
    (tmp_path / "m1.tif").write_bytes(raw)
    with pytest.raises(ValueError, match="go round in a circle"):
        read(tmp_path / "m1.tif")


def test_numbers_in_names_are_needed(tmp_path):
    folder = tmp_path / "m1"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", IMAGES_THW[0])
    with pytest.raises(ValueError, match="must have a number, but is 'a.tif'"):
        read(folder, layout=Layout.PAGES)
    (folder / "a.tif").rename(folder / "a1.tif")
    tifffile.imwrite(folder / "b1.tif", IMAGES_THW[0])
    with pytest.raises(ValueError, match="'b1.tif' and 'a1.tif' have the same"):
        read(folder, layout=Layout.PAGES)
