"""Throughput of image windows from S3 and from disk, next to Ray Data and Hugging Face datasets.

    python -m venv hf && hf/bin/pip install datasets s3fs     # s3fs holds an old botocore
    python -m tests.benchmarks.streaming --hf-python hf/bin/python
    python -m tests.benchmarks.streaming --megabytes 6000 --cache-mb 512 --only stream-s3

All read the same Parquet shards, those on the disk and those on S3 as `calsweep ingest` writes them
there: images of 128 x 128 pixels of two bytes. All make floats of them, of which windows of three
frames are views. calsweep gives what training needs: runs of eight windows (ten frames) in shuffled
order. So do the arms `hf-shuffled-`: Hugging Face reads, NumPy keeps a pool of runs, and a random
one leaves it for each that comes, which is quicker than the `shuffle` of `datasets` for images.
The arms `hf-` and `ray-` read in order, which is less work. None of these verifies shards, keeps
them for the next epoch, or minds borders of recordings, as calsweep does.
Each arm runs in a process of its own, which tells the most memory it had.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

ADDRESS = "s3://calsweep-bench/images"
SIZE = 128
BATCH = 64
RUN, LENGTH = 8, 3  # windows, frames in each
POOL = 512  # runs: 170 MB
N_READERS = 4
# Of the shards on S3, beside those on the disk.
NAMES, BYTES = "s3-names", "s3-bytes"
ARMS = (
    "get-object",  # one after the other
    "get-object-4",  # over as many connections as calsweep has
    "stream-s3",
    "stream-disk",
    "stream-again-disk",  # the second epoch, from the cache
    "stream-later-disk",  # the third
    "hf-shuffled-s3",
    "hf-shuffled-disk",
    "hf-s3",
    "hf-disk",
    "ray-s3",
    "ray-disk",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500, help="decoded size of the dataset")
    parser.add_argument("--cache-mb", type=float, default=20_000)
    parser.add_argument("--shard-mb", type=float, default=32)
    parser.add_argument("--only", nargs="*", default=ARMS, choices=ARMS)
    parser.add_argument("--hf-python", default=sys.executable, help="one that has datasets")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("AWS_ENDPOINT_URL", os.environ.get("CALSWEEP_TEST_S3", ""))
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "test:tester")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    if options.arm:
        got = measure(options.arm, options.folder, cache_mb=options.cache_mb)
        print(json.dumps(got), flush=True)
        os._exit(0)  # threads of `datasets` abort the end of a process
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "images"
        make(folder, megabytes=options.megabytes, shard_mb=options.shard_mb)
        for n in range(options.rounds):
            for arm in options.only:
                python = options.hf_python if arm.startswith("hf") else sys.executable
                report(arm, n, run(python, arm, folder, cache_mb=options.cache_mb))


def make(folder: Path, *, megabytes: int, shard_mb: float) -> None:
    """Write the dataset and put a copy on S3."""
    import boto3

    from calsweep.datasets.recording import Recording
    from calsweep.datasets.shard_writer import write_dataset
    from calsweep.platform.object_storage.storage import publish

    n_frames = 2000
    n_recordings = max(1, round(megabytes * 1e6 / (n_frames * SIZE * SIZE * 2)))

    def recordings() -> Iterator[Recording]:
        for i in range(n_recordings):
            yield Recording(
                subject=f"m{i % 5}",
                name=f"m{i % 5}_r{i}",
                activity_TN=np.empty((n_frames, 0), dtype=np.float32),
                behavior={"run": np.arange(n_frames) % 2},
                rate_hz=30.0,
                units=(),
                trial_T=np.zeros(n_frames, dtype=np.int32),
                images=Camera(i, n_frames),
            )

    def write(place: Path, *, is_far: bool) -> None:
        begun = time.monotonic()
        manifest = write_dataset(recordings(), folder=place, shard_mb=shard_mb, is_far=is_far)
        wall_s = time.monotonic() - begun
        n_bytes = sum(shard.n_bytes for shard in manifest.image_shards)
        raw = manifest.n_frames * SIZE * SIZE * 2
        print(
            f"for {'S3' if is_far else 'the disk'}: {manifest.n_frames} images, {raw / 1e6:.0f} MB,"
            f" {n_bytes / 1e6:.0f} MB in {len(manifest.image_shards)} shards, written at "
            f"{raw / 1e6 / wall_s:.0f} MB/s",
            flush=True,
        )

    write(folder, is_far=False)
    if os.environ["AWS_ENDPOINT_URL"]:
        client = boto3.client("s3")
        with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket="calsweep-bench")
        copy = folder.with_name("copy")
        write(copy, is_far=True)
        (folder / NAMES).write_text("\n".join(file.name for file in images_in(copy)))
        (folder / BYTES).write_text(str(sum(file.stat().st_size for file in images_in(copy))))
        publish(copy, address=ADDRESS, replace=True)
        shutil.rmtree(copy)


def images_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("images-*.parquet"))


class Camera:
    """A bright window over a brain with vessels, and the noise of photons."""

    def __init__(self, seed: int, n_frames: int) -> None:
        self.shape = (n_frames, SIZE, SIZE)
        self.dtype = np.dtype(np.uint16)
        rng = np.random.default_rng(seed)
        self.mean = 800 + 400 * rng.random((SIZE, SIZE))
        self.seed = seed

    def __getitem__(self, frames: slice) -> np.ndarray:
        rng = np.random.default_rng([self.seed, frames.start])
        noise = rng.standard_normal((frames.stop - frames.start, SIZE, SIZE), dtype=np.float32)
        return (self.mean + 12 * noise).astype(np.uint16)


def run(python: str, arm: str, folder: Path, *, cache_mb: float) -> dict[str, float]:
    command = [python, "-m", "tests.benchmarks.streaming", "--arm", arm]
    command += ["--folder", str(folder), "--cache-mb", str(cache_mb)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def report(arm: str, n: int, got: dict[str, float]) -> None:
    print(
        f"round {n} {arm:17} {got['windows'] / got['seconds']:8.0f} windows/s "
        f"{got['bytes'] / 1e6 / got['seconds']:7.1f} MB/s of shards "
        f"{got['seconds']:6.1f} s, {got['peak_mb']:.0f} MB of memory at most",
        flush=True,
    )


def measure(arm: str, folder: Path, *, cache_mb: float) -> dict[str, float]:
    how, _, place = arm.rpartition("-")
    if place == "disk":
        names = [file.name for file in images_in(folder)]
        n_bytes = sum(file.stat().st_size for file in images_in(folder))
    else:
        names = (folder / NAMES).read_text().split()
        n_bytes = int((folder / BYTES).read_text())
    if arm.startswith("get-object"):
        n, seconds = get_object(names, n_connections=N_READERS if arm.endswith("4") else 1)
    elif how.startswith("stream"):
        n, seconds = stream(how, folder, place, cache_mb=cache_mb)
    elif how == "ray":
        n, seconds = ray_data(folder, place, names)
    else:
        n, seconds = hugging_face(folder, place, names, is_shuffled="shuffled" in how)
    return {"windows": n, "seconds": seconds, "bytes": n_bytes, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """Give the most memory of this process (of `getrusage` a child inherits its parent's)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def get_object(names: list[str], *, n_connections: int) -> tuple[int, float]:
    import boto3

    client = boto3.client("s3")

    def get(name: str) -> int:
        answer = client.get_object(Bucket="calsweep-bench", Key=f"images/{name}")
        return len(answer["Body"].read())

    begun = time.monotonic()
    with ThreadPoolExecutor(n_connections) as pool:
        sum(pool.map(get, names))
    return 0, time.monotonic() - begun


def stream(how: str, folder: Path, place: str, *, cache_mb: float) -> tuple[int, float]:
    import torch

    from calsweep.datasets.cache import Cache
    from calsweep.datasets.dataset import open_dataset
    from calsweep.datasets.image_frames import ImageFrames
    from calsweep.datasets.split import Part, Scaling
    from calsweep.datasets.window import Window, window_starts
    from calsweep.platform.fold.batch import epoch_batches
    from calsweep.platform.fold.feed import Feed, Shares
    from calsweep.platform.fold.training import Training
    from calsweep.platform.object_storage.storage import locate

    with tempfile.TemporaryDirectory() as scratch:
        store = locate(ADDRESS if place == "s3" else str(folder))
        dataset = open_dataset(store, cache=Cache(Path(scratch)))
        cache = Cache(Path(scratch) / "cache", limit_mb=cache_mb)
        starts_W = np.concatenate(
            [
                span.start + window_starts(dataset.trial_T[span], window=Window(length=LENGTH))
                for span in dataset.spans.values()
            ]
        )
        training = Training(batch_size=BATCH, run_length=RUN)
        frames = ImageFrames(dataset.manifest, store=store, cache=cache, n_readers=N_READERS)
        part = Part(
            frames=frames,
            starts_W=starts_W,
            targets_W=starts_W + 1,
            labels_W=starts_W % 2,
        )
        feed = Feed(
            part=part,
            scaling=Scaling(
                offset_N=np.zeros((SIZE, SIZE), np.float32),
                scale_N=np.ones((SIZE, SIZE), np.float32),
            ),
            window_length=LENGTH,
            training=training,
            device=torch.device("cpu"),
            shares=Shares(),
        )
        n_epochs = {"stream": 1, "stream-again": 2, "stream-later": 3}[how]
        for epoch in range(1, n_epochs + 1):
            begun = time.monotonic()
            order = epoch_batches(part, training=training, seed=0, epoch=epoch)
            n = sum(int(piece.weights_RK.sum()) for b in feed.batches(order) for piece in b)
            if epoch == n_epochs:
                frames.close()  # the last shards are written to the cache
            seconds = time.monotonic() - begun
        return n, seconds


def windows(images_FHX: np.ndarray) -> np.ndarray:
    """Make of a batch what calsweep does: floats, from which windows are views."""
    return images_FHX.astype(np.float32)


def ray_data(folder: Path, place: str, names: list[str]) -> tuple[int, float]:
    import logging

    import ray
    from pyarrow import fs

    logging.disable(logging.WARNING)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    filesystem, root = None, str(folder)
    if place == "s3":
        filesystem = fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"])
        root = "calsweep-bench/images"
    begun = time.monotonic()
    data = ray.data.read_parquet(
        [f"{root}/{name}" for name in names], filesystem=filesystem
    ).select_columns(["image"])
    n = 0
    for batch in data.iter_batches(batch_size=BATCH, batch_format="pyarrow", prefetch_batches=4):
        column = batch.column("image").combine_chunks()
        flat = np.frombuffer(column.buffers()[1], np.uint16)
        images = flat.reshape(-1, SIZE, SIZE)[column.offset : column.offset + len(column)]
        n += len(windows(images))
    return n, time.monotonic() - begun


def hugging_face(
    folder: Path, place: str, names: list[str], *, is_shuffled: bool
) -> tuple[int, float]:
    # The folder `datasets` of a checkout would hide it.
    sys.path = [path for path in sys.path if path not in {"", str(Path.cwd())}]
    import datasets

    root, options = str(folder), {}
    if place == "s3":
        root = "s3://calsweep-bench/images"
        endpoint = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
        options = {"storage_options": {"client_kwargs": endpoint}}
    begun = time.monotonic()
    data = datasets.load_dataset(
        "parquet",
        data_files=[f"{root}/{name}" for name in names],
        streaming=True,
        split="train",
        columns=["image"],
        **options,
    ).with_format("arrow")

    def read() -> Iterator[np.ndarray]:
        for batch in data.iter(batch_size=BATCH):
            column = batch.column("image").combine_chunks()
            flat = np.frombuffer(column.buffers()[1], np.uint16)
            yield flat.reshape(-1, SIZE, SIZE)[column.offset : column.offset + len(column)]

    n = 0
    if is_shuffled:
        for floats_RFHX in shuffled_runs(read()):
            n += len(floats_RFHX) * RUN
    else:
        for images in read():
            n += len(windows(images))
    return n, time.monotonic() - begun


def shuffled_runs(batches: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Give batches of floats: runs of eight windows, each drawn from a pool of those read."""
    rng = np.random.default_rng(0)
    pool: list[np.ndarray] = []
    drawn: list[np.ndarray] = []
    last = np.empty((0, SIZE, SIZE), np.uint16)
    for batch in batches:
        images = np.concatenate([last, batch]) if len(last) else batch
        n_runs = (len(images) - LENGTH + 1) // RUN
        last = images[n_runs * RUN :]
        for i in range(n_runs):
            run = images[i * RUN : (i + 1) * RUN + LENGTH - 1]
            if len(pool) < POOL:
                pool.append(run)
                continue
            place = int(rng.integers(POOL))
            drawn.append(pool[place])
            pool[place] = run
            if len(drawn) * RUN == BATCH:
                yield floats_of(drawn)
                drawn = []
    for place in rng.permutation(len(pool)):
        drawn.append(pool[place])
        if len(drawn) * RUN == BATCH:
            yield floats_of(drawn)
            drawn = []
    if drawn:
        yield floats_of(drawn)


def floats_of(runs: list[np.ndarray]) -> np.ndarray:
    """Convert each run as it is put into the batch."""
    floats_RFHX = np.empty((len(runs), *runs[0].shape), np.float32)
    for place, run in zip(floats_RFHX, runs, strict=True):
        np.copyto(place, run, casting="unsafe")
    return floats_RFHX


if __name__ == "__main__":
    main()
