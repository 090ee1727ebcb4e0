"""From a lab's files, or a simulator, to a dataset at an address."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from calsweep.datasets.manifest import Manifest
from calsweep.datasets.recording import Recording, with_units
from calsweep.datasets.resample import resample
from calsweep.datasets.shard_writer import SHARD_MB, Compression, write_dataset
from calsweep.datasets.source import Source, StreamSource
from calsweep.datasets.step import Step
from calsweep.datasets.trial import split_trials_every
from calsweep.datasets.truth import Simulator, Truth
from calsweep.platform.object_storage.address import StorageRefused, is_remote, local_path
from calsweep.platform.object_storage.bucket import Bucket
from calsweep.platform.object_storage.storage import publish, workspace


def ingest(
    source: Source,
    /,
    *,
    origin: Path | str,
    address: str,
    only: Sequence[str] = (),
    common_units: bool = False,
    steps: Sequence[Step] = (),
    rate_hz: float | None = None,
    trial_frames: int | None = None,
    shard_mb: float = SHARD_MB,
    compression: Compression = Compression.AUTO,
    replace: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Read every recording of a folder or file and write a dataset, all of it or nothing.

    Parameters
    ----------
    source
        Reads the files.
    origin
        A folder of files, or one file; for a source that can stream also at ``s3://BUCKET/NAME``,
        where no more is fetched of a file than the recording needs.
    address
        Where the dataset is to be: a path or ``s3://BUCKET/NAME``.
    only
        Names of files to take, ``*`` standing for anything; by default all.
    common_units
        Whether units that some recordings lack are left out. Each file is then read twice.
    steps
        What is done to each recording in turn, at the rate and in the trials of the file.
    rate_hz
        Frames per second to bring every recording to; by default they must agree.
    trial_frames
        Frames to cut recordings into trials of; by default their own trials stay.
    shard_mb
        Megabytes of frames in a shard, before compression.
    compression
        Of images.
    replace
        Whether a dataset that is there may be replaced; nothing else ever is.
    say
        Told of progress.

    Raises
    ------
    ValueError
        If a file cannot be read as a recording, recordings do not agree, `only` matches no file, or
        no unit is in all recordings.
    FileExistsError
        If something is at the address already.
    StorageRefused
        If the address cannot be written to, `origin` lies there or cannot be reached.
    """
    readers = _readers(source, origin=origin, only=only)
    if common_units:
        readers = _sharing_units(readers, say=say)
    recordings = _recordings(
        readers,
        steps=steps,
        rate_hz=rate_hz,
        trial_frames=trial_frames,
        say=say,
    )
    with workspace(address, replace=replace, origin=origin) as folder:
        return _put(
            recordings,
            folder=folder,
            address=address,
            shard_mb=shard_mb,
            compression=compression,
            replace=replace,
            say=say,
        )


def simulate(
    simulator: Simulator,
    /,
    *,
    address: str,
    replace: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Write simulated recordings as a dataset, with the truth of them beside it.

    Parameters
    ----------
    simulator
        Makes them.
    address, replace, say
        As for `ingest`.

    Raises
    ------
    FileExistsError
        If something is at the address already.
    StorageRefused
        If the address cannot be written to.
    """

    def told() -> Iterator[Recording]:
        for recording in simulator.recordings():
            say(f"{recording.name}: {_size(recording)}")
            yield recording

    with workspace(address, replace=replace) as folder:
        truth = simulator.truth()
        return _put(told(), folder=folder, address=address, replace=replace, say=say, truth=truth)


def _put(
    recordings: Iterable[Recording],
    *,
    folder: Path,
    address: str,
    replace: bool,
    say: Callable[[str], None],
    shard_mb: float = SHARD_MB,
    compression: Compression = Compression.AUTO,
    truth: Truth | None = None,
) -> Manifest:
    """Write a dataset into the workspace's folder and put it in place."""
    manifest = write_dataset(recordings, folder=folder, shard_mb=shard_mb, compression=compression)
    if truth is not None:
        truth.write(folder)
    say(f"Putting {len(manifest.all_shards)} shards in place at {address} ...")
    publish(
        folder,
        address=address,
        replace=replace,
        on_file=lambda done, n: say(f"{done}/{n} files uploaded"),
    )
    return manifest


def _readers(
    source: Source, *, origin: Path | str, only: Sequence[str]
) -> Sequence[Callable[[], Recording]]:
    """Give what reads each recording, in order of the files' names."""
    if is_remote(str(origin)):
        return _streaming(source, origin=str(origin), only=only)
    local_path(origin)  # refuses an address of another service
    files = source.files(Path(origin))
    chosen = _chosen([file.name for file in files], only=only)
    return [partial(source.read, files[i]) for i in chosen]


def _streaming(
    source: Source, *, origin: str, only: Sequence[str]
) -> Sequence[Callable[[], Recording]]:
    if not isinstance(source, StreamSource):
        reason = (
            "files of this format are read whole, on this machine: fetch them first, as with "
            "`aws s3 cp --recursive`."
        )
        raise StorageRefused(origin, reason)
    bucket = Bucket(origin.rstrip("/"))
    bucket.preflight()
    if bucket.address.endswith(source.suffixes):
        return [partial(_read_open, source, bucket, "")]
    names = sorted(name for name in bucket.names() if "/" not in name)
    names = [name for name in names if name.endswith(source.suffixes)]
    if not names:
        raise ValueError(f"{origin} holds no {' or '.join(source.suffixes)} file.")
    return [partial(_read_open, source, bucket, names[i]) for i in _chosen(names, only=only)]


def _chosen(names: Sequence[str], *, only: Sequence[str]) -> Sequence[int]:
    """Give the places of names that match one of the patterns; of all where there is none."""
    chosen = [i for i, name in enumerate(names) if any(fnmatch(name, p) for p in only or "*")]
    if not chosen:
        raise ValueError(
            f"`--only {only[0]}` must match the name of a file, but matches none of "
            f"{len(names)} (the first is {names[0]}). `*` stands for anything, as in 'm1_*'."
        )
    return chosen


def _sharing_units(
    readers: Sequence[Callable[[], Recording]], *, say: Callable[[str], None]
) -> Sequence[Callable[[], Recording]]:
    """Give what reads each recording with those units alone that all have."""
    shared: dict[str, None] = {}
    sizes = []
    for i, read in enumerate(readers):
        recording = read()
        sizes.append(len(recording.units))
        here = set(recording.units)
        kept = dict.fromkeys(u for u in (recording.units if i == 0 else shared) if u in here)
        if not kept:
            raise ValueError(
                f"{recording.name}: with `--common-units` recordings must share units by name, but "
                f"it has none of the {len(shared)} that all before it share. Give units names that "
                "mean the same in all recordings, or take those of one animal (`--only`)."
            )
        shared = kept
    span = f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else f"{sizes[0]}"
    say(f"All {len(readers)} recordings have {len(shared)} units in common, of {span}.")
    units = tuple(shared)
    return [partial(_read_with_units, read, units) for read in readers]


def _read_with_units(read: Callable[[], Recording], units: tuple[str, ...]) -> Recording:
    return with_units(read(), units=units)


def _read_open(source: StreamSource, bucket: Bucket, name: str) -> Recording:
    address = f"{bucket.address}/{name}" if name else bucket.address
    with bucket.open(name) as opened:
        return source.read_open(opened, name=address, version=opened.version)


def _recordings(
    readers: Sequence[Callable[[], Recording]],
    *,
    steps: Sequence[Step],
    rate_hz: float | None,
    trial_frames: int | None,
    say: Callable[[str], None],
) -> Iterator[Recording]:
    begun = time.monotonic()
    for i, read in enumerate(readers, start=1):
        recording = read()
        for step in steps:
            recording = step.apply(recording)
        if rate_hz is not None:
            recording = resample(recording, rate_hz=rate_hz)
        if trial_frames is not None:
            recording = split_trials_every(recording, n_frames=trial_frames)
        left = (time.monotonic() - begun) / i * (len(readers) - i)
        say(f"{i}/{len(readers)} {recording.name}: {_size(recording)}, about {left:.0f} s left")
        yield recording


def _size(recording: Recording) -> str:
    return (
        f"{recording.n_frames} frames of {len(recording.units)} units at {recording.rate_hz:g} Hz"
    )
