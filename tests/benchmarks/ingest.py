"""How fast recordings are ingested and opened, and what memory that takes.

    python -m tests.benchmarks.ingest

Ingests traces from `.npy` files with behavior beside (64 recordings of 18,000 frames of 50 units),
then opens the dataset from a warm cache, as every process of a sweep does.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

N_RECORDINGS, N_FRAMES, N_UNITS = 64, 18_000, 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        open_again(options.open)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        n_bytes = write(folder / "npy")
        command = ["npy", str(folder / "npy"), str(folder / "data"), "--rate-hz", "30"]
        begun = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "calsweep.platform", "ingest", *command],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        wall_s = time.monotonic() - begun
        print(
            f"ingest: {n_bytes / 1e6:.0f} MB in {wall_s:.1f} s, {n_bytes / 1e6 / wall_s:.0f} MB/s"
        )
        for _ in range(3):
            again = [sys.executable, "-m", "tests.benchmarks.ingest", "--open", str(folder)]
            subprocess.run(again, check=True)


def write(folder: Path) -> int:
    """Write the recordings and give the bytes of their activity."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(N_RECORDINGS):
        activity_TN = rng.standard_normal((N_FRAMES, N_UNITS), dtype=np.float32)
        np.save(folder / f"m{i % 5}_r{i}.npy", activity_TN)
        rows = "\n".join(map(str, (np.arange(N_FRAMES) // 900 % 2).tolist()))
        (folder / f"m{i % 5}_r{i}.csv").write_text(f"run\n{rows}\n")
    return N_RECORDINGS * N_FRAMES * N_UNITS * 4


def open_again(folder: Path) -> None:
    begun = time.monotonic()
    from calsweep.datasets.cache import Cache
    from calsweep.datasets.dataset import open_dataset
    from calsweep.datasets.store import FolderStore

    imported = time.monotonic()
    dataset = open_dataset(FolderStore(folder / "data"), cache=Cache(folder / "cache"))
    opened = time.monotonic()
    print(
        f"open: {len(dataset.spans)} recordings in {opened - imported:.2f} s, "
        f"and {imported - begun:.2f} s of imports"
    )


if __name__ == "__main__":
    main()
