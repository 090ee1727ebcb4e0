import dataclasses
import hashlib
import json
import pickle

import numpy as np
import pyarrow.parquet as pq
import pytest
import xxhash

from calsweep.datasets.cache import Cache
from calsweep.datasets.csv import CsvSource
from calsweep.datasets.dataset import (
    DatasetNotFound,
    open_dataset,
    read_manifest,
    read_timelines,
)
from calsweep.datasets.manifest import Manifest
from calsweep.datasets.recording import Recording
from calsweep.datasets.shard import DamagedShard, read_images, read_shard
from calsweep.datasets.shard_writer import Compression, write_dataset
from calsweep.datasets.store import FolderStore


def make(name="m1_d1", *, n_frames=50, n_units=3, seed=0, **changes):
    rng = np.random.default_rng(seed)
    values = {
        "subject": name.split("_")[0],
        "name": name,
        "activity_TN": rng.normal(size=(n_frames, n_units)).astype(np.float32),
        "behavior": {
            "run": np.arange(n_frames) % 2,
            "speed_cm_s": rng.random(n_frames),
        },
        "behavior_unit": {"speed_cm_s": "cm/s"},
        "rate_hz": 30.0,
        "units": tuple(f"region{i}" for i in range(1, n_units + 1)),
        "trial_T": np.repeat([3, 7], [20, n_frames - 20]).astype(np.int32),
        "source_sha256": {f"{name}.npz": "0" * 64},
    }
    return Recording(**{**values, **changes})


@pytest.fixture
def recordings():
    return [make("m1_d1", seed=1), make("m2_d1", n_frames=70, seed=2), make("m2_d2", seed=3)]


@pytest.fixture
def folder(recordings, tmp_path):
    write_dataset(recordings, folder=tmp_path / "data", shard_mb=0.002)
    return tmp_path / "data"


def test_gives_back_what_was_written(recordings, folder, tmp_path):
    dataset = open_dataset(FolderStore(folder), cache=Cache(tmp_path / "cache"))
    assert len(dataset.manifest.shards) > 3  # recordings span shards, and shards hold several
    for recording in recordings:
        span = dataset.spans[recording.name]
        assert np.array_equal(dataset.activity_TN[span], recording.activity_TN)
        assert np.array_equal(dataset.copy_recording(recording.name), recording.activity_TN)
        assert np.array_equal(dataset.trial_T[span], recording.trial_T)
        for name, values in recording.behavior.items():
            assert np.array_equal(dataset.behavior[name][span], values)
    assert dataset.behavior["run"].dtype == np.int64
    assert dataset.activity_TN.dtype == np.float32
    assert dataset.activity_TN.flags.c_contiguous
    assert not dataset.activity_TN.flags.writeable


def test_manifest_says_what_is_in_it(folder):
    manifest = read_manifest(FolderStore(folder))
    assert manifest.subjects == ("m1", "m2")
    assert manifest.n_frames == 170
    assert manifest.units == ("region1", "region2", "region3")
    assert manifest.behaviors == {"run": "", "speed_cm_s": "cm/s"}
    assert manifest.labels == ("run",)
    entry = manifest.recordings[1]
    assert (entry.name, entry.n_frames, entry.n_trials) == ("m2_d1", 70, 2)
    assert entry.longest_trial_frames == 50
    assert entry.label_counts == {"run": {0: 35, 1: 35}}
    assert entry.source_sha256 == {"m2_d1.npz": "0" * 64}
    for shard in manifest.shards:
        data = (folder / shard.file).read_bytes()
        assert hashlib.sha256(data).hexdigest() == shard.sha256
        assert shard.sha256[:16] in shard.file
        assert xxhash.xxh3_128(data).hexdigest() == shard.xxh3
        assert len(data) == shard.n_bytes


def test_dataset_of_before_xxh3_was_taken_is_read(recordings, folder, tmp_path):
    manifest = read_manifest(FolderStore(folder))
    shards = tuple(dataclasses.replace(shard, xxh3=None) for shard in manifest.shards)
    before = dataclasses.replace(manifest, shards=shards)
    assert "xxh3" not in before.to_json()
    (folder / "manifest.json").write_text(before.to_json())
    dataset = open_dataset(FolderStore(folder), cache=Cache(tmp_path / "cache"))
    assert dataset.manifest == before
    assert np.array_equal(dataset.activity_TN[:50], recordings[0].activity_TN)
    first = folder / manifest.shards[0].file
    first.write_bytes(first.read_bytes()[::-1])
    with pytest.raises(DamagedShard, match="do not have the SHA-256"):
        open_dataset(FolderStore(folder), cache=Cache(tmp_path / "other"))


def test_check_of_a_dataset_minds_sha256_too(folder):
    """Bytes forged so that they have the XXH3 of the manifest have another SHA-256."""
    manifest = read_manifest(FolderStore(folder))
    shard = dataclasses.replace(manifest.shards[0], sha256="0" * 64)
    forged = dataclasses.replace(manifest, shards=(shard, *manifest.shards[1:]))
    (folder / "manifest.json").write_text(forged.to_json())
    read_shard(shard, store=FolderStore(folder))
    with pytest.raises(DamagedShard, match="do not have the SHA-256"):
        read_timelines(FolderStore(folder))


def test_same_recordings_give_the_same_hash(recordings, folder, tmp_path):
    again = write_dataset(recordings, folder=tmp_path / "again", shard_mb=0.002)
    assert again.content_hash == read_manifest(FolderStore(folder)).content_hash


def test_columns_are_named(folder):
    shard = read_manifest(FolderStore(folder)).shards[0]
    columns = pq.read_schema(folder / shard.file).names
    assert columns == [
        "recording", "frame", "trial", "behavior.run", "behavior.speed_cm_s",
        "unit.region1", "unit.region2", "unit.region3",
    ]  # fmt: skip


def test_a_flipped_bit_in_any_shard_is_refused_and_named(folder, tmp_path):
    rng = np.random.default_rng(0)
    for shard in read_manifest(FolderStore(folder)).shards:
        path = folder / shard.file
        whole = path.read_bytes()
        for position in {0, len(whole) - 1, *rng.integers(len(whole), size=40).tolist()}:
            damaged = bytearray(whole)
            damaged[position] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            with pytest.raises(DamagedShard, match=shard.file):
                read_timelines(FolderStore(folder))
        path.write_bytes(whole)
    read_timelines(FolderStore(folder))


def test_pages_have_checksums_of_their_own(folder):
    shard = read_manifest(FolderStore(folder)).shards[0]
    path, refused = folder / shard.file, 0
    column = pq.ParquetFile(path).metadata.row_group(0).column(6)
    whole = path.read_bytes()
    end = column.data_page_offset + column.total_compressed_size
    for position in range(end - 100, end):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(OSError, match=r"CRC|crc"):
            pq.ParquetFile(path, page_checksum_verification=True).read()
        refused += 1
    assert refused == 100


def test_a_damaged_dataset_leaves_nothing_in_the_cache(folder, tmp_path):
    manifest = read_manifest(FolderStore(folder))
    last = folder / manifest.shards[-1].file
    last.write_bytes(last.read_bytes()[:-10])
    with pytest.raises(DamagedShard, match=last.name):
        open_dataset(FolderStore(folder), cache=Cache(tmp_path / "cache"))
    left = [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.stat().st_size]
    assert left == []


def test_a_shard_that_is_not_there_is_named(folder):
    shard = read_manifest(FolderStore(folder)).shards[0]
    (folder / shard.file).unlink()
    with pytest.raises(DamagedShard, match=f"{shard.file} is damaged: the file is missing"):
        read_timelines(FolderStore(folder))


def test_a_shard_is_read_once_more_before_it_is_refused(folder):
    class Flaky:
        def __init__(self):
            self.n_reads = 0

        def read(self, name):
            self.n_reads += 1
            if self.n_reads == 2:  # 1 is the manifest
                raise FileNotFoundError(name)
            return FolderStore(folder).read(name)

    flaky = Flaky()
    manifest = read_timelines(flaky)["run"].manifest
    assert flaky.n_reads == 1 + 1 + len(manifest.shards)


def test_damage_travels_between_processes():
    error = pickle.loads(pickle.dumps(DamagedShard("a.parquet", "why")))
    assert str(error).startswith("The shard a.parquet is damaged: why.")


def test_a_changed_manifest_is_refused(folder):
    path = folder / "manifest.json"
    plain = json.loads(path.read_text())
    plain["recordings"][0]["label_counts"]["run"]["0"] += 1
    path.write_text(json.dumps(plain))
    with pytest.raises(ValueError, match="changed or damaged"):
        read_manifest(FolderStore(folder))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "3", "9" * 5000, '{"schema_version": 1}'])
def test_what_is_no_manifest_is_refused(folder, text):
    with pytest.raises(ValueError, match=r"manifest\.json is no"):
        Manifest.from_json(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 1}, "schema version must be 2, but is 1"),
        ({"rate_hz": "fast"}, "is not a manifest of calsweep"),
        ({"rate_hz": float("nan")}, "`rate_hz > 0` must hold"),
        ({"rate_hz": 10**400}, "is not a manifest of calsweep"),
        ({"units": 3}, "is not a manifest of calsweep"),
        ({"behaviors": ["run"]}, "dictionary update sequence"),
        ({"recordings": None}, "is not a manifest of calsweep"),
        ({"recordings": [{"name": "m1_d1"}]}, "is not a manifest of calsweep"),
        ({"recordings": []}, "at least one recording"),
        ({"shards": [3]}, "is not a manifest of calsweep"),
        ({"shards": []}, "do not hold every frame"),
        ({"content_hash": None}, "changed or damaged"),
        ({"calsweep_version": object}, "is not a manifest of calsweep"),
    ],
)
def test_a_manifest_with_a_wrong_part_is_refused_by_name(folder, changes, message):
    plain = {**json.loads((folder / "manifest.json").read_text()), **changes}
    text = json.dumps({key: value for key, value in plain.items() if value is not object})
    with pytest.raises(ValueError, match=rf"^manifest\.json.* .*{message}"):
        Manifest.from_json(text)


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("recordings", {"label_counts": {"run": {"many": 1}}}),
        ("recordings", {"label_counts": {"run": 3}}),
        ("recordings", {"n_frames": "many"}),
        ("recordings", {"color": "red"}),
        ("shards", {"file": 3}),
        ("shards", {"spans": [{"recording": "m1_d1"}]}),
        ("shards", {"spans": 3}),
    ],
)
def test_a_manifest_with_a_wrong_entry_is_refused_by_name(folder, part, changes):
    plain = json.loads((folder / "manifest.json").read_text())
    plain[part][0].update(changes)
    with pytest.raises(ValueError, match=r"^manifest\.json"):
        Manifest.from_json(json.dumps(plain))


def test_no_dataset(tmp_path):
    with pytest.raises(DatasetNotFound, match="No dataset at"):
        open_dataset(FolderStore(tmp_path), cache=Cache(tmp_path / "cache"))


def test_shards_must_hold_every_frame(folder):
    manifest = read_manifest(FolderStore(folder))
    with pytest.raises(ValueError, match="do not hold every frame of m2_d2"):
        dataclasses.replace(manifest, shards=manifest.shards[:-1])
    with pytest.raises(ValueError, match="in order"):
        dataclasses.replace(manifest, shards=manifest.shards[::-1])


def test_a_shard_may_not_lie_elsewhere(folder):
    manifest = read_manifest(FolderStore(folder))
    away = dataclasses.replace(manifest.shards[0], file="../other.parquet")
    with pytest.raises(ValueError, match="in the dataset's folder"):
        dataclasses.replace(manifest, shards=(away, *manifest.shards[1:]))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"rate_hz": 10.0}, "m1_d1 has 30 Hz and m2_d1 10 Hz"),
        ({"units": ("a", "b", "region3")}, "2 of m2_d1 and 2 of m1_d1 are not in the other"),
        ({"units": ("a", "b", "region3")}, "or ingest files .* into a dataset of their own"),
        ({"behavior": {"run": np.zeros(50, dtype=int)}}, "`speed_cm_s` .*is missing in m2_d1"),
        ({"name": "m1_d1"}, "'m1_d1' comes twice"),
    ],
)
def test_recordings_that_do_not_go_together(tmp_path, other, message):
    pair = [make("m1_d1"), make(**{"name": "m2_d1", **other})]
    with pytest.raises(ValueError, match=message):
        write_dataset(pair, folder=tmp_path / "data")


def test_units_come_in_the_order_of_the_first_recording(tmp_path):
    (tmp_path / "m1_d1.csv").write_text("frame,a,b,c,run\n0,1,2,3,0\n1,4,5,6,1\n")
    (tmp_path / "m2_d1.csv").write_text("frame,c,a,b,run\n0,30,10,20,1\n1,60,40,50,0\n")
    source = CsvSource(rate_hz=30.0)
    manifest = write_dataset(map(source.read, source.files(tmp_path)), folder=tmp_path / "data")
    assert manifest.units == ("a", "b", "c")
    dataset = open_dataset(FolderStore(tmp_path / "data"), cache=Cache(tmp_path / "cache"))
    assert dataset.activity_TN[dataset.spans["m1_d1"]].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert dataset.activity_TN[dataset.spans["m2_d1"]].tolist() == [[10, 20, 30], [40, 50, 60]]


def test_nothing_to_write(tmp_path):
    with pytest.raises(ValueError, match="at least one recording"):
        write_dataset([], folder=tmp_path / "data")


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(FileExistsError):
        write_dataset([make()], folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_counters_have_no_classes(tmp_path):
    counter = make(behavior={"frame_number": np.arange(150)}, n_frames=150)
    manifest = write_dataset([counter], folder=tmp_path / "data")
    assert manifest.recordings[0].label_counts == {"frame_number": {}}


def filmed(name="m1_d1", *, n_frames=50, dtype="uint16", seed=0, **changes):
    rng = np.random.default_rng(seed)
    images_THW = rng.integers(0, 200, size=(n_frames, 4, 6)).astype(dtype)
    nothing = {"activity_TN": np.empty((n_frames, 0), dtype=np.float32), "units": ()}
    return make(name, n_frames=n_frames, **{**nothing, "images": images_THW, **changes})


def images_in(folder, manifest):
    shards = [
        read_images(shard, store=FolderStore(folder), images=manifest.images)
        for shard in manifest.image_shards
    ]
    return np.concatenate(shards)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "float32"])
def test_images_come_back_in_their_own_type(tmp_path, dtype):
    recordings = [filmed("m1_d1", dtype=dtype), filmed("m2_d1", dtype=dtype, n_frames=33, seed=1)]
    manifest = write_dataset(recordings, folder=tmp_path / "data", shard_mb=0.001)
    assert len(manifest.image_shards) > 3
    assert dataclasses.asdict(manifest.images) == {"height": 4, "width": 6, "dtype": dtype}
    images_THW = images_in(tmp_path / "data", manifest)
    assert images_THW.dtype == dtype
    assert np.array_equal(images_THW, np.concatenate([r.images for r in recordings]))
    assert read_timelines(FolderStore(tmp_path / "data"))["run"].manifest == manifest
    dataset = open_dataset(FolderStore(tmp_path / "data"), cache=Cache(tmp_path / "cache"))
    assert dataset.activity_TN.shape == (83, 0)


def test_images_are_read_a_stretch_at_a_time(tmp_path):
    class Counted:
        shape, dtype, longest = (50, 4, 6), np.dtype("uint16"), 0

        def __getitem__(self, frames):
            Counted.longest = max(Counted.longest, frames.stop - frames.start)
            return np.zeros((frames.stop - frames.start, 4, 6), dtype=np.uint16)

    write_dataset([filmed(images=Counted())], folder=tmp_path / "data", shard_mb=0.001)
    assert Counted.longest == 15  # of 48 bytes of pixels, 8 of a number and some of a name


def codecs(folder):
    files = sorted(folder.glob("images-*.parquet"))
    return [pq.read_metadata(file).row_group(0).column(2).compression for file in files]


@pytest.mark.parametrize(
    ("compression", "expected"),
    [
        (Compression.AUTO, ["UNCOMPRESSED", "ZSTD"]),
        (Compression.ZSTD, ["ZSTD", "ZSTD"]),
        (Compression.NONE, ["UNCOMPRESSED", "UNCOMPRESSED"]),
    ],
)
def test_images_are_compressed_where_that_saves_half(tmp_path, compression, expected):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 2**16, (50, 16, 16)).astype(np.uint16)
    recordings = [
        filmed("m1_d1", images=noise),
        filmed("m2_d1", images=noise // 2**12 * 2**12),  # of 16 bits, 12 are 0
    ]
    manifest = write_dataset(recordings, folder=tmp_path / "data", compression=compression)
    assert codecs(tmp_path / "data") == expected
    images_THW = np.concatenate([recording.images for recording in recordings])
    assert np.array_equal(images_in(tmp_path / "data", manifest), images_THW)


def test_images_that_are_not_compressed_lie_in_the_file_as_they_are(tmp_path):
    recordings = [filmed("m1_d1"), filmed("m2_d1", n_frames=33, seed=1)]
    folder = tmp_path / "data"
    manifest = write_dataset(
        recordings, folder=folder, shard_mb=0.001, compression=Compression.NONE
    )
    whole_THW = np.concatenate([recording.images for recording in recordings])
    row = 0
    for shard in manifest.image_shards:
        images_RHW = whole_THW[row : row + shard.n_rows]
        data = (folder / shard.file).read_bytes()
        assert data[shard.images_at :].startswith(images_RHW.tobytes())
        assert np.array_equal(  # as any reader of Parquet sees them
            np.frombuffer(
                b"".join(pq.read_table(folder / shard.file)["image"].to_pylist()), whole_THW.dtype
            ),
            images_RHW.ravel(),
        )
        without = dataclasses.replace(shard, images_at=None)
        for entry in (shard, without):
            got = read_images(entry, store=FolderStore(folder), images=manifest.images)
            assert np.array_equal(got, images_RHW)
        row += shard.n_rows


def test_shards_of_images_end_with_their_recording(tmp_path):
    recordings = [filmed("m1_d1"), filmed("m2_d1", n_frames=33)]
    manifest = write_dataset(recordings, folder=tmp_path / "data", shard_mb=0.001)
    assert [[s.recording for s in shard.spans] for shard in manifest.image_shards] == [
        *[["m1_d1"]] * 4,
        *[["m2_d1"]] * 3,
    ]


def test_images_and_activity_go_together(tmp_path):
    both = filmed(activity_TN=np.ones((50, 2), dtype=np.float32), units=("a", "b"))
    manifest = write_dataset([both], folder=tmp_path / "data")
    dataset = open_dataset(FolderStore(tmp_path / "data"), cache=Cache(tmp_path / "cache"))
    assert images_in(tmp_path / "data", manifest).shape == (50, 4, 6)
    assert dataset.activity_TN.shape == (50, 2)


def test_images_of_another_size_are_refused(tmp_path):
    other = filmed("m2_d1", images=np.zeros((50, 4, 5), dtype=np.uint16))
    message = "m1_d1 has 4 x 6 pixels of type uint16 and m2_d1 has 4 x 5 pixels of type uint16"
    with pytest.raises(ValueError, match=message):
        write_dataset([filmed(), other], folder=tmp_path / "data")


def test_places_phases_and_steps_are_in_the_manifest_in_the_order_of_units(tmp_path):
    first = make("m1_d1")
    turned = make(
        "m2_d1",
        units=first.units[::-1],
        positions_ND=np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32),
        position_unit="um",
        phase_N=np.array([0, 0.25, 0.5], dtype=np.float32),
        steps=("speed interpolated to the frames",),
    )
    write_dataset([first, turned], folder=tmp_path / "data")
    one, two = read_manifest(FolderStore(tmp_path / "data")).recordings
    assert (one.positions, one.phases, one.steps) == ((), (), ())
    assert two.positions == ((5, 6), (3, 4), (1, 2))
    assert two.position_unit == "um"
    assert two.phases == (0.5, 0.25, 0)
    assert two.steps == ("speed interpolated to the frames",)


def test_missing_values_are_counted(tmp_path):
    activity_TN = np.ones((50, 3), dtype=np.float32)
    activity_TN[3:5, 1] = np.nan
    speed = np.where(np.arange(50) < 7, np.nan, 1.0)
    behavior = {"run": np.arange(50) % 2, "speed_cm_s": speed}
    sparse = make(activity_TN=activity_TN, behavior=behavior, may_miss=True)
    manifest = write_dataset([sparse], folder=tmp_path / "data")
    assert manifest.recordings[0].n_missing == {"activity": 2, "speed_cm_s": 7}
    dataset = open_dataset(FolderStore(tmp_path / "data"), cache=Cache(tmp_path / "cache"))
    assert np.array_equal(dataset.activity_TN, activity_TN, equal_nan=True)
