"""Datasets at addresses: read, and put there all of it or nothing."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from calsweep.datasets.manifest import MANIFEST_FILE, Manifest
from calsweep.datasets.shard import is_shard_name
from calsweep.datasets.store import FolderStore, Store
from calsweep.datasets.truth import TRUTH_FILE
from calsweep.platform.object_storage.address import (
    StorageRefused,
    is_remote,
    local_path,
    nearest_folder,
)
from calsweep.platform.object_storage.bucket import Bucket


def locate(address: str, /, *, preflight: bool = True) -> Store:
    """Give what reads a dataset, after a look whether it can be reached at all.

    Parameters
    ----------
    address
        A path, or ``s3://BUCKET/NAME``.
    preflight
        Whether to look. Where nobody waits before a screen, an endpoint that is gone may come back:
        without a look, reading waits for it.

    Raises
    ------
    StorageRefused
        Within 15 s, if credentials are missing or wrong, or nothing answers.
    """
    if not is_remote(address):
        return FolderStore(local_path(address))
    bucket = Bucket(address)
    if preflight:
        bucket.preflight()
    return bucket


def publish(
    folder: Path,
    /,
    *,
    address: str,
    replace: bool = False,
    on_file: Callable[[int, int], None] | None = None,
) -> None:
    """Put a finished dataset folder in its place, all of it or nothing.

    On disk the folder is renamed. On S3 the manifest goes up last. A broken upload takes its shards
    away again; what a killed one left is used by the next of the same data, or taken away by it.

    Parameters
    ----------
    folder
        A folder with shards and ``manifest.json``; on disk it is moved, so it must lie in the
        same file system (see `workspace`).
    address
        Where it is to be.
    replace
        Whether a dataset that is there may be replaced.
    on_file
        Called with files uploaded and files in all.

    Raises
    ------
    FileExistsError
        If something is there already and may not be replaced.
    StorageRefused
        If the address cannot be written to.
    """
    if is_remote(address):
        _upload(folder, Bucket(address), replace=replace, on_file=on_file)
        return
    place = local_path(address)
    _check_place(place, address, replace=replace)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        _swap(folder, place)
    else:
        folder.rename(place)


@contextlib.contextmanager
def workspace(
    address: str, /, *, replace: bool = False, origin: Path | str | None = None
) -> Iterator[Path]:
    """Give a new folder to write a dataset in; whatever is left of it at the end is removed.

    Parameters
    ----------
    address
        Where the dataset is to be.
    replace
        Whether a dataset that is there may be replaced; nothing else ever is.
    origin
        Folder or file that the dataset is made from, which must not lie at the address.

    Raises
    ------
    FileExistsError
        If something is at the address already and may not be replaced.
    StorageRefused
        If the address cannot be written to.
    """
    if is_remote(address):
        _check_remote_origin(address, origin=origin)
        bucket = Bucket(address)
        bucket.preflight()
        _check_bucket(bucket, replace=replace)
        beside, name = Path(tempfile.gettempdir()), "dataset"
    else:
        place = local_path(address)
        _check_origin(place, address, origin=origin)
        _check_place(place, address, replace=replace)
        beside, name = nearest_folder(place), place.name
    folder = beside / f".{name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _exists(address: str) -> str:
    return (
        f"There is a dataset at {address} already, and it is left as it is: "
        "choose another address, or add --replace."
    )


def _no_dataset(address: str, what: str) -> str:
    return (
        f"Only a dataset may be replaced ({MANIFEST_FILE} and the shards it names, nothing else), "
        f"but {address} holds {what}: choose another address, or move that away yourself."
    )


def _check_origin(place: Path, address: str, *, origin: Path | str | None) -> None:
    if origin is None or is_remote(str(origin)):
        return
    path = Path(origin).expanduser().resolve()
    if place == path or place in path.parents:
        raise StorageRefused(address, _read_from(origin))


def _check_remote_origin(address: str, *, origin: Path | str | None) -> None:
    if f"{origin}/".startswith(f"{address.rstrip('/')}/"):
        raise StorageRefused(address, _read_from(origin))


def _read_from(origin: Path | str | None) -> str:
    return f"{origin}, which is read from, lies there: choose another address."


def _check_place(place: Path, address: str, *, replace: bool) -> None:
    """Refuse a place on disk that holds anything but a dataset that may be replaced."""
    if place.exists() and not place.is_dir():
        raise FileExistsError(f"A dataset is a folder, but {address} is a file: choose another.")
    if place.is_mount():
        raise StorageRefused(address, "it is a mount point: name a folder in it.")
    names = {path.name for path in place.iterdir()} if place.exists() else set()
    if not names:
        return
    if MANIFEST_FILE not in names:
        raise FileExistsError(_no_dataset(address, f"{_some(names)} and no {MANIFEST_FILE}"))
    manifest = _manifest((place / MANIFEST_FILE).read_bytes(), address)
    others = names - {MANIFEST_FILE} - _names(manifest)
    if others:
        raise FileExistsError(_no_dataset(address, _some(others)))
    if not replace:
        raise FileExistsError(_exists(address))


def _some(names: set[str]) -> str:
    """Name the first of some files, and count the others."""
    return min(names) + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _manifest(data: bytes | memoryview, address: str) -> Manifest:
    try:
        return Manifest.from_json(str(data, errors="replace"))
    except ValueError as error:
        what = f"a {MANIFEST_FILE} that is not a dataset's ({str(error).rstrip('.')})"
        raise FileExistsError(_no_dataset(address, what)) from error


def _names(manifest: Manifest | None) -> set[str]:
    """Give the files of a dataset but its manifest: a truth may stand beside the shards."""
    return {*(shard.file for shard in manifest.all_shards), TRUTH_FILE} if manifest else set()


def _is_ours(name: str) -> bool:
    return is_shard_name(name) or name == TRUTH_FILE


def _swap(folder: Path, place: Path) -> None:
    """Rename a folder to a place that is taken; the old one comes back if that fails."""
    retired = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.old")
    place.rename(retired)
    try:
        folder.rename(place)
    except BaseException:
        retired.rename(place)
        raise
    shutil.rmtree(retired)


def _upload(
    folder: Path, bucket: Bucket, *, replace: bool, on_file: Callable[[int, int], None] | None
) -> None:
    files = sorted(folder.iterdir(), key=lambda file: (file.name == MANIFEST_FILE, file.name))
    _check_bucket(bucket, replace=replace)
    tried: list[str] = []
    try:
        for i, file in enumerate(files, start=1):
            tried.append(file.name)
            bucket.upload(file)
            if on_file is not None:
                on_file(i, len(files))
    except BaseException:
        _take_back(bucket, tried)
        raise
    bucket.delete({name for name in bucket.names() if _is_ours(name)} - set(tried))


def _check_bucket(bucket: Bucket, *, replace: bool) -> None:
    """Refuse an S3 address that holds anything but a dataset that may be replaced."""
    if _remote_manifest(bucket) is not None and not replace:
        raise FileExistsError(_exists(bucket.address))


def _remote_manifest(bucket: Bucket) -> Manifest | None:
    try:
        return _manifest(bucket.read(MANIFEST_FILE), bucket.address)
    except FileNotFoundError:
        return None


def _take_back(bucket: Bucket, names: Iterable[str]) -> None:
    """Remove what a broken upload left, as far as the service lets us.

    The manifest there now, be it the old one or a new one whose answer was lost, keeps its shards.
    """
    with contextlib.suppress(StorageRefused, FileExistsError):
        kept = _names(_remote_manifest(bucket))
        bucket.delete(set(names) - kept - {MANIFEST_FILE})
