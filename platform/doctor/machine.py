"""What of this machine a sweep rests on: versions, disk, devices."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import calsweep
from calsweep.platform.doctor.check import Remark
from calsweep.platform.object_storage.address import nearest_folder

LEAST_FREE_MB = 100.0
_GB = 1e9


class NoDisk(OSError):
    """A folder that a sweep writes to cannot be written to, or its disk is nearly full."""

    def __init__(self, folder: str, reason: str) -> None:
        super().__init__(folder, reason)
        self.folder = folder
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.folder} cannot be used: {self.reason}"


def check_folder(folder: Path, /, *, needed_mb: float = LEAST_FREE_MB, setting: str) -> str:
    """Write a file where a sweep will write, and look how much room is left there.

    Parameters
    ----------
    folder
        May not be there yet; nothing is left in it.
    needed_mb
        Megabytes that have to be free.
    setting
        What names the folder, for the way out.

    Returns
    -------
    said
        The folder and what is free.

    Raises
    ------
    NoDisk
        If it cannot be written to, or less is free.
    """
    folder = folder.expanduser().resolve()
    try:
        there = nearest_folder(folder / "file")
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"calsweep")
    except OSError as error:
        reason = f"nothing can be written there ({error.strerror or error}): name another folder"
        raise NoDisk(str(folder), f"{reason} with {setting}.") from error
    free_mb = shutil.disk_usage(there).free / 1e6
    if free_mb < needed_mb:
        raise NoDisk(
            str(folder),
            f"its disk has {free_mb:.0f} MB free and {needed_mb:.0f} MB are needed: free some, or "
            f"name a folder of another disk with {setting}.",
        )
    return f"{folder}: {free_mb * 1e6 / _GB:.1f} GB free"


def versions() -> str:
    """Say which versions run here, and check that they are those that calsweep is made for.

    Raises
    ------
    RuntimeError
        If one is not.
    """
    names = ("ray", "mlflow", "torch", "pyarrow", "optuna")
    found = {name: metadata.version(name) for name in names}
    shown = ", ".join(f"{name} {version.partition('+')[0]}" for name, version in found.items())
    python = ".".join(map(str, sys.version_info[:3]))
    wrong = _unmet()
    if wrong:
        raise RuntimeError(f"{'; '.join(wrong)}: install calsweep again, with constraints.txt.")
    return f"calsweep {calsweep.__version__}, Python {python}, {shown}"


def devices() -> str:
    """Say what this machine trains on.

    Raises
    ------
    Remark
        If it has GPUs that torch cannot use.
    """
    import torch

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    shown = f"{cpus} CPUs"
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return f"{shown}, {len(names)} GPU ({', '.join(dict.fromkeys(names))})"
    if Path("/dev/nvidia0").exists():
        raise Remark(
            f"{shown}; there is a GPU that torch {torch.__version__} cannot use: install a build "
            "of torch for CUDA, and a driver that suits it."
        )
    return f"{shown}, no GPU"


def _unmet() -> list[str]:
    """Compare what is installed with what calsweep asks for; a checkout alone asks for nothing."""
    from packaging.requirements import Requirement

    try:
        asked = metadata.requires("calsweep") or []
    except metadata.PackageNotFoundError:
        return []
    wrong = []
    for requirement in map(Requirement, asked):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is not installed")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version} is not {requirement.specifier}")
    return wrong
