"""What a generation of a population costs beyond its training.

    python -m tests.benchmarks.population_overhead

Twenty members, a GRU of 32 units on 20 folds of five simulated mice, two at a time on two cores. A
generation's wall time is that between the last lines of two generations in the lineage; from it
goes the training of its members (with validation), divided by how many train at a time. What is
left are tasks, reading and writing of states, building of modules, decisions, and the wait for the
last member. Memory is the largest sum of proportional set sizes over all processes of the sweep.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import Simulation
from tests.benchmarks.sweep_overhead import Peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--generations", type=int, default=6)
    parser.add_argument("--frames", type=int, default=4000, help="frames of each of five mice")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        write_dataset(Simulation(n_frames=options.frames).recordings(), folder=home / "mice")
        load = os.getloadavg()[0]
        sweep = subprocess.Popen(
            [
                sys.executable, "-m", "calsweep.platform", "sweep", f"home={home}", "name=overhead",
                f"datasets.address={home / 'mice'}", "tuner=population",
                "search_spaces=optimization", f"population.size={options.members}",
                f"population.generations={options.generations}", "training.epoch_fraction=0.1",
                "baseline_training.epochs=1",
            ],
            start_new_session=True,
        )  # fmt: skip
        peak = Peak(session=sweep.pid, every_s=5.0)  # reading it takes time of its own
        assert sweep.wait() == 0
        peak_gb = peak.stop() / 1e9
        report(home / "sweeps" / "overhead" / "lineage.jsonl")
        print(f"memory at most {peak_gb:.2f} GB; load before {load:.1f}, {os.getloadavg()[0]:.1f}")


def report(lineage: Path) -> None:
    train_s: dict[int, float] = defaultdict(float)
    ended_s: dict[int, float] = {}
    for line in map(json.loads, lineage.read_text().splitlines()):
        if line["event"] == "life":
            train_s[line["generation"]] += line["train_seconds"]
            ended_s[line["generation"]] = line["at"]
    n_parallel = os.cpu_count() or 1
    left_s = []
    for generation in sorted(ended_s)[1:]:
        wall_s = ended_s[generation] - ended_s[generation - 1]
        inside_s = train_s[generation] / n_parallel
        left_s.append(wall_s - inside_s)
        print(
            f"generation {generation}: wall {wall_s:.2f} s, training {inside_s:.2f} s, "
            f"beyond it {left_s[-1]:.2f} s"
        )
    print(f"beyond training: {min(left_s):.2f} to {max(left_s):.2f} s a generation")


if __name__ == "__main__":
    main()
