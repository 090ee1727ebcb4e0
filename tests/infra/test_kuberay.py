"""The manifests are ones that Kubernetes and Ray's autoscaler read as they are meant.

Pods, claims and classes are held against Kubernetes' schemas; the cluster is read by the code of
Ray that its autoscaler runs. KubeRay's own schemas are not at hand, and no cluster is started.
"""

import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)

import calsweep

ROOT = Path(__file__).parent.parent.parent
KUBERNETES = "1.31"
IMAGE = f"calsweep:{calsweep.__version__}"


def built(name):
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    run = subprocess.run(
        ["kubectl", "kustomize", ROOT / "infra/kuberay" / name],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return {item["kind"]: item for item in yaml.safe_load_all(run.stdout)}


@pytest.fixture(scope="module")
def cluster():
    return built("cluster")


@pytest.fixture(scope="module")
def job():
    return built("job")


def groups(spec):
    return {"head": spec["headGroupSpec"]} | {
        group["groupName"]: group for group in spec["workerGroupSpecs"]
    }


def test_what_is_there(cluster, job):
    assert set(cluster) == {"PriorityClass", "PersistentVolumeClaim", "RayCluster"}
    assert set(job) == {"PriorityClass", "PersistentVolumeClaim", "RayJob"}


def test_claims_and_classes_suit_the_schemas(cluster):
    for kind in ("PriorityClass", "PersistentVolumeClaim"):
        kubernetes_validate.validate(cluster[kind], KUBERNETES, strict=True)


@pytest.mark.parametrize("name", ["head", "cpu", "gpu"])
def test_pods_suit_the_schemas(cluster, name):
    template = groups(cluster["RayCluster"]["spec"])[name]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": template["spec"]}
    kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    assert {container["image"] for container in template["spec"]["containers"]} == {IMAGE}


def test_autoscaler_reads_what_is_meant(cluster):
    resource = cluster["RayCluster"]
    resource["metadata"]["namespace"] = "lab"
    config = _derive_autoscaling_config_from_ray_cr(resource)
    types = config["available_node_types"]
    assert config["idle_timeout_minutes"] == 5
    assert types["headgroup"]["resources"] == {"CPU": 0, "GPU": 0, "memory": 8 * 2**30}
    assert types["cpu"]["resources"] == {"CPU": 4, "memory": 16 * 2**30}
    assert types["gpu"]["resources"] == {"CPU": 8, "GPU": 1, "memory": 32 * 2**30}
    assert [(types[n]["min_workers"], types[n]["max_workers"]) for n in ("cpu", "gpu")] == [
        (0, 8),
        (0, 8),
    ]


def test_workers_give_way_and_the_head_does_not(cluster):
    specs = {
        name: group["template"]["spec"]
        for name, group in groups(cluster["RayCluster"]["spec"]).items()
    }
    assert cluster["PriorityClass"]["value"] < 0
    preemptible = cluster["PriorityClass"]["metadata"]["name"]
    assert {name: spec.get("priorityClassName") for name, spec in specs.items()} == {
        "head": None,
        "cpu": preemptible,
        "gpu": preemptible,
    }


def test_ray_asks_for_a_token_and_no_secret_stands_here(cluster):
    spec = cluster["RayCluster"]["spec"]
    assert spec["authOptions"] == {"mode": "token"}
    for group in groups(spec).values():
        for container in group["template"]["spec"]["containers"]:
            assert "env" not in container
            assert container["envFrom"] == [
                {"secretRef": {"name": "calsweep-s3", "optional": True}}
            ]


def test_home_is_reached_from_every_node(cluster):
    assert cluster["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    for group in groups(cluster["RayCluster"]["spec"]).values():
        (container,) = group["template"]["spec"]["containers"]
        assert {"name": "home", "mountPath": "/shared"} in container["volumeMounts"]


def test_job_runs_on_the_same_cluster_and_names_what_it_goes_on_with(cluster, job):
    spec = job["RayJob"]["spec"]
    assert spec["rayClusterSpec"] == cluster["RayCluster"]["spec"]
    assert spec["backoffLimit"] > 0
    assert " name=" in spec["entrypoint"]
    assert " home=/shared/" in spec["entrypoint"]


def test_jobs_command_is_one_of_a_sweep(job):
    from calsweep.platform.config import compose_settings

    words = job["RayJob"]["spec"]["entrypoint"].split()
    assert words[:2] == ["calsweep", "sweep"]
    settings = compose_settings(words[2:])
    assert settings.resources.gpus == 1
    assert settings.resources.nodes_within_s == 900
