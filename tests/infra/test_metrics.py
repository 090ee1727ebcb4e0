"""Panels and alerts name metrics that Ray exports: those of sweeps, and Ray's own.

A small sweep and a population of toys run under a real Ray, whose real endpoint is read. Where
Prometheus' own tool is installed, it reads the configuration, every expression, and the alerts on
series that are written out.
"""

import json
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from calsweep.platform.command import main
from calsweep.platform.compute import Attempt
from calsweep.platform.metrics.exported import METRICS
from calsweep.platform.metrics.read_metrics import read_metrics
from calsweep.platform.metrics.sweep_metrics import SweepMetrics
from calsweep.platform.object_storage.address import StorageRefused
from calsweep.platform.object_storage.bucket import Bucket
from calsweep.platform.population.evolution import Evolution
from calsweep.search_spaces.population import Population
from calsweep.search_spaces.space import Space
from tests.faults import FaultProxy
from tests.platform.toy_learner import Toys

INFRA = Path(__file__).parent.parent.parent / "infra"
SCRAPE_DEADLINE_S = 60.0
OURS = "ray_calsweep_"


def alerts():
    groups = yaml.safe_load((INFRA / "prometheus/alerts.yaml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels():
    """Give the expressions of each panel, with a sweep in place of Grafana's variable."""
    board = json.loads((INFRA / "grafana/panels/sweeps.json").read_text())
    return {
        panel["title"]: [target["expr"].replace("$sweep", ".*") for target in panel["targets"]]
        for panel in board["panels"]
    }


def names(expressions):
    return {name for each in expressions for name in re.findall(r"\bray_[a-z_]+", each)}


EXPRESSIONS = [*alerts().values(), *(expr for exprs in panels().values() for expr in exprs)]


def promtool(*arguments):
    if shutil.which("promtool") is None:
        pytest.skip("promtool (Debian's package prometheus) is not installed")
    run = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_metric_of_sweeps_is_on_a_panel_and_no_other():
    ours = {metric.exported_name for metric in METRICS}
    assert {name for name in names(EXPRESSIONS) if name.startswith(OURS)} == ours
    board = json.loads((INFRA / "grafana/panels/sweeps.json").read_text())
    (variable,) = board["templating"]["list"]
    assert names([variable["query"]["query"]]) <= ours


def test_what_is_provisioned_is_where_it_is_mounted():
    services = yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]
    mounts = [volume.split(":") for volume in services["grafana"]["volumes"]]
    folders = {inside: INFRA / outside for outside, inside, *_ in mounts if outside[0] == "."}
    provider = INFRA / "grafana/provisioning/dashboards/calsweep.yaml"
    (panels_at,) = (
        each["options"]["path"] for each in yaml.safe_load(provider.read_text())["providers"]
    )
    assert [path.name for path in folders[panels_at].iterdir()] == ["sweeps.json"]
    source = INFRA / "grafana/provisioning/datasources/prometheus.yaml"
    (datasource,) = yaml.safe_load(source.read_text())["datasources"]
    assert datasource["url"] == "http://prometheus:9090"
    board = json.loads((INFRA / "grafana/panels/sweeps.json").read_text())
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {datasource["uid"]}


def test_prometheus_asks_nodes_at_the_port_that_they_export_at():
    services = yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]
    scraped = yaml.safe_load((INFRA / "prometheus/prometheus.yaml").read_text())
    ((nodes,),) = (job["dns_sd_configs"] for job in scraped["scrape_configs"])
    for name in nodes["names"]:
        assert f"--metrics-export-port={nodes['port']}" in services[name]["command"].split()


def test_prometheus_reads_its_files(tmp_path):
    shutil.copytree(INFRA / "prometheus", tmp_path / "prometheus")
    config = tmp_path / "prometheus/prometheus.yaml"
    config.write_text(config.read_text().replace("/etc/prometheus", str(config.parent)))
    promtool("check", "config", config)


def test_prometheus_reads_every_expression(tmp_path):
    rules = [{"record": f"panel:{i}", "expr": expr} for i, expr in enumerate(EXPRESSIONS)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", file)


def test_alerts_are_for_a_sweep_that_stalls_and_a_backlog_that_grows(tmp_path):
    """A value a minute: `a+bxn` begins at a and is raised by b, n times."""
    label = '{sweep="s"}'
    cases = [
        ("SweepStalled", {"last_progress_seconds": "0x60", "running": "1x60"}, "29m", False),
        ("SweepStalled", {"last_progress_seconds": "0x60", "running": "1x60"}, "31m", True),
        ("SweepStalled", {"last_progress_seconds": "0+60x60", "running": "1x60"}, "59m", False),
        ("SweepStalled", {"last_progress_seconds": "0x60", "running": "0x60"}, "59m", False),
        ("TrackingBacklogGrows", {"tracking_backlog": "0+2x60"}, "50m", True),
        ("TrackingBacklogGrows", {"tracking_backlog": "0+2x60"}, "20m", False),
        ("TrackingBacklogGrows", {"tracking_backlog": "100-1x60"}, "50m", False),
        ("TrackingBacklogGrows", {"tracking_backlog": "10x60"}, "50m", False),
    ]
    expected = {
        "SweepStalled": {
            "summary": "The sweep s has done no epoch and no fold for half an hour.",
            "description": "`calsweep status s` shows who runs it and its last error. If it waits "
            "for devices, the panel of Ray's tasks shows tasks that are pending.",
        },
        "TrackingBacklogGrows": {
            "summary": "MLflow falls behind the sweep s by 100 folds.",
            "description": "MLflow is away, refuses, or is slow. Training goes on and the record "
            "has every result; `calsweep track s` writes what is missing once MLflow is well.",
        },
    }
    tests = [
        {
            "interval": "1m",
            "input_series": [
                {"series": f"{OURS}{name}{label}", "values": values}
                for name, values in series.items()
            ],
            "alert_rule_test": [
                {
                    "eval_time": at,
                    "alertname": alert,
                    "exp_alerts": [
                        {
                            "exp_labels": {"severity": "warning", "sweep": "s"},
                            "exp_annotations": expected[alert],
                        }
                    ]
                    if fires
                    else [],
                }
            ],
        }
        for alert, series, at, fires in cases
    ]
    file = tmp_path / "alerts.yaml"
    rules = [str(INFRA / "prometheus/alerts.yaml")]
    file.write_text(yaml.safe_dump({"rule_files": rules, "tests": tests}))
    promtool("test", "rules", file)


def endpoint():
    """Give the address at which the node of this Ray gives its metrics."""
    import ray

    (node,) = ray.nodes()
    return f"http://127.0.0.1:{node['MetricsExportPort']}/metrics"


def exported(*, until):
    """Read what Ray exports until it has some names, as metric to values by sweep."""
    give_up = time.monotonic() + SCRAPE_DEADLINE_S
    found = {}  # over all looks: Ray gives a gauge that is not set again but once
    while True:
        with urllib.request.urlopen(endpoint(), timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        for line in lines:
            if match := re.match(r"(ray_\w+)(\{.*\})? (\S+)$", line):
                name, labels, value = match.groups()
                sweep = re.search(r'sweep="([^"]*)"', labels or "")
                found.setdefault(name, {})[sweep and sweep[1]] = float(value)
        missing = until - set(found)
        if not missing:
            return found
        assert time.monotonic() < give_up, f"not exported: {sorted(missing)}"
        time.sleep(1.0)


def sweep_small(mice, home):
    arguments = [
        "sweep", f"home={home}", "name=watched", f"datasets.address={mice.folder}",
        "datasets.window.length=11", "datasets.folds.k_groups=3", "training.epochs=1",
        "training.batch_size=64", "training.epoch_fraction=0.5", "baseline_training.epochs=1",
        "trainables.n_hidden=4", "search_spaces=optimization", "n_trials=1",
    ]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0


def train_toys(folder):
    """Train a population of toys that lies where one of models of dynamics would."""
    population = Population(size=2, generations=2, generation=1)
    folder.mkdir()
    described = {"settings": {"population": {"generations": population.generations}}}
    (folder / "sweep.json").write_text(json.dumps(described))
    axis = {"low": 0.01, "high": 0.1, "log": True, "mutation": {"bounds": "soft"}}
    space = Space(training={"learning_rate": axis})
    with SweepMetrics(folder):
        Evolution(
            learners=Toys(), space=space, population=population, seed=0, folder=folder,
            say=lambda _: None,
        ).run()  # fmt: skip


def ask_storage_that_fails(folder, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test:tester")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with FaultProxy("http://127.0.0.1:9", lambda *_: "503").running() as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        with read_metrics(folder / "folds"), pytest.raises(StorageRefused):
            Bucket("s3://lab/mice", deadline_s=3.0).read("manifest.json")


@pytest.mark.slow
def test_ray_exports_all_that_panels_and_alerts_name(mice, local_ray, tmp_path, monkeypatch):
    sweep_small(mice, tmp_path)
    train_toys(tmp_path / "toys")
    folder = tmp_path / "sweeps/watched"
    with SweepMetrics(folder, look_every_s=0.1):  # as of one that goes on, with an attempt lost
        time.sleep(1.0)
        lost = Attempt(folder=folder / "folds", key=next((folder / "folds").glob("[!.]*")).name)
        lost.tell(is_last=True)
    ask_storage_that_fails(folder, monkeypatch)
    found = exported(until=names(EXPRESSIONS))
    of_sweep = {name: values["watched"] for name, values in found.items() if "watched" in values}
    n_folds = 2 * 6  # a configuration and the baseline
    assert of_sweep[f"{OURS}folds_done"] == of_sweep[f"{OURS}folds_planned"] == n_folds
    assert of_sweep[f"{OURS}folds_trained_total"] >= n_folds
    assert of_sweep[f"{OURS}tracking_backlog"] == 0
    assert of_sweep[f"{OURS}running"] == 0
    assert time.time() - 600 < of_sweep[f"{OURS}last_progress_seconds"] <= time.time()
    assert of_sweep[f"{OURS}retries_total"] == 1
    assert of_sweep[f"{OURS}device_seconds_total"] > 0
    of_toys = {name: values["toys"] for name, values in found.items() if "toys" in values}
    assert of_toys[f"{OURS}generation"] == of_toys[f"{OURS}generations_planned"] == 2
    assert of_toys[f"{OURS}best_loss"] > 0
    assert f"{OURS}folds_done" not in of_toys
