"""How fast MLflow is fed from a record, and how it answers once thousands of fold runs are there.

    python -m tests.benchmarks.tracking_speed                    10,000 fold runs into SQLite
    python -m tests.benchmarks.tracking_speed --postgresql       and into PostgreSQL
    python -m tests.benchmarks.tracking_speed --trials 100       2,000 fold runs
    python -m tests.benchmarks.tracking_speed --trials 10 --by-client    as into a server

A sweep's record is written with a tiny model for each fold and fed by the writer that sweeps use.
Then parents are searched as `mlflow.search_runs` does it, and a server on the same database answers
what MLflow's page of a parent asks for: the run, its artifacts, and the histories of its metrics.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path

import mlflow

from calsweep.platform.config import compose_settings
from calsweep.platform.plain import to_plain
from calsweep.platform.record import FoldRecord, TrialState
from calsweep.platform.score import Epoch, Score
from calsweep.platform.tracking import run_tables
from calsweep.platform.tracking.tracking import Tracker
from tests.mlflow_server import MlflowServer, postgres
from tests.platform.written_sweep import Writer, tiny_model

N_FOLDS = 20
N_EPOCHS = 10
N_ASKED = 5
# What the page draws at first: MLflow asks for the histories of some metrics at a time.
CHARTS = ("fold_test_auc", "fold_validation_auc", "test_auc_mean", "validation_auc_mean")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=500, help="of 20 folds each")
    parser.add_argument("--postgresql", action="store_true", help="in place of SQLite")
    parser.add_argument("--by-client", action="store_true", help="MLflow's client writes all")
    options = parser.parse_args()
    if options.by_client:
        run_tables.TRIED_VERSIONS = ()
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        uri = f"sqlite:///{home}/mlflow.db"
        if options.postgresql:
            uri = stack.enter_context(postgres()).uri
        sweep = ManyFolds(home=home, name="many").write(options.trials)
        tracker = Tracker(uri, home=home, sweep="many")
        begun, cpu = time.perf_counter(), time.process_time()
        n_written = tracker.sync(sweep)
        wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
        print(
            f"{'PostgreSQL' if options.postgresql else 'SQLite'}: {n_written} fold runs written in "
            f"{wall_s:.0f} s, {n_written / wall_s:.1f} a second, "
            f"{1000 * cpu_s / n_written:.0f} ms of this process each"
        )
        print(f"written again: {seconds(lambda: tracker.sync(sweep)):.2f} s")
        search(uri)
        page(home, uri)


class ManyFolds(Writer):
    """A sweep of many trials, each fold with figures of its own."""

    def write(self, n_trials: int):
        self.begin()
        settings = to_plain(compose_settings(("datasets.address=mice",)).linear)
        with self._record() as record:
            for trial in range(n_trials):
                about = {"values": {}, "verdict": to_plain(self.verdict()), "settings": settings}
                record.begin_trial(trial, name=f"trial {trial}", **about)
                for fold in range(N_FOLDS):
                    record.add_fold(trial, key=self.trained_fold(trial, fold))
                record.end_trial(trial, TrialState.DONE)
        return self.read()

    def trained_fold(self, trial: int, fold: int) -> str:
        key = f"{trial:04d}{fold:04d}"
        folder = self.home / "sweeps" / self.name / "folds" / key
        tiny_model().save(folder / "model")
        score = Score(loss=0.5, auc=0.5 + (trial * N_FOLDS + fold) / 1e5, accuracy=0.7)
        curve = (
            Epoch(epoch=epoch, train_loss=0.9 / epoch, validation=score)
            for epoch in range(1, N_EPOCHS + 1)
        )
        FoldRecord(
            key=key, fold=fold, test_group=fold // 4, validation_group=fold % 4, seed=fold,
            best_epoch=2, curve=tuple(curve), validation=score, test=score, n_windows=1000,
            train_seconds=1.5, process="here:1",
        ).write(folder)  # fmt: skip
        return key


def search(uri: str) -> None:
    mlflow.set_tracking_uri(uri)

    def parents():
        return mlflow.search_runs(
            experiment_names=["calsweep/many"],
            filter_string="tags.`calsweep.run` = 'trial'",
            order_by=["metrics.validation_auc_mean DESC"],
        )

    print(f"search of {len(parents())} parents: {seconds(parents):.2f} s")


def page(home: Path, uri: str) -> None:
    server = MlflowServer(folder=home, store=uri)
    server.start()
    try:
        client = mlflow.MlflowClient(server.url)
        experiment = client.get_experiment_by_name("calsweep/many")
        kind = "tags.`calsweep.run` = 'trial'"
        run = client.search_runs([experiment.experiment_id], kind, max_results=1)[0].info
        shown = {
            "run": f"runs/get?run_id={run.run_id}",
            "artifacts": f"artifacts/list?run_id={run.run_id}",
            "histories": "metrics/get-history-bulk-interval?max_results=320&"
            + "&".join(f"run_ids={run.run_id}&metric_key={name}" for name in CHARTS[:1]),
            **{
                name: f"metrics/get-history?run_id={run.run_id}&metric_key={name}"
                for name in CHARTS
            },
        }
        times = {what: seconds(lambda path=path: ask(server, path)) for what, path in shown.items()}
        listed = ", ".join(f"{what} {value:.2f}" for what, value in times.items())
        print(f"page of a parent: {sum(times.values()):.2f} s ({listed})")
    finally:
        server.kill()


def ask(server: MlflowServer, path: str) -> object:
    address = f"{server.url}/ajax-api/2.0/mlflow/{path}"
    with urllib.request.urlopen(address, timeout=60) as answer:
        return json.load(answer)


def seconds(call) -> float:
    """Give the median time of some calls."""
    times = []
    for _ in range(N_ASKED):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


if __name__ == "__main__":
    main()
