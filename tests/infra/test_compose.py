"""The compose file is one that Docker takes, and opens nothing to other machines.

What is checked is what Docker's own tool makes of it; images are neither built nor started.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

INFRA = Path(__file__).parent.parent.parent / "infra"
SECRETS = ("ray_token", "postgres_password", "aws_credentials", "s3_users", "grafana_password")
SERVICES = {"head", "worker", "mlflow", "postgres", "s3", "bucket", "prometheus", "grafana"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Give a copy of the folder, with its secrets made."""
    folder = tmp_path_factory.mktemp("checkout") / "infra"
    shutil.copytree(INFRA, folder, ignore=shutil.ignore_patterns("secrets"))
    subprocess.run([folder / "make-secrets"], check=True, timeout=30)
    return folder


@pytest.fixture(scope="module")
def text(folder):
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed")
    run = subprocess.run(
        ["docker-compose", "-f", folder / "compose.yaml", "config"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def services(text):
    return yaml.safe_load(text)["services"]


def test_services_are_those_of_a_cluster(services):
    assert set(services) == SERVICES
    assert "--num-cpus=0" in services["head"]["command"]
    assert services["worker"]["deploy"]["replicas"] == 2


def test_ports_are_those_of_this_machine_alone(services):
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert sorted(published) == [
        "127.0.0.1:3000:3000/tcp",
        "127.0.0.1:5000:5000/tcp",
        "127.0.0.1:8265:8265/tcp",
        "127.0.0.1:8333:8333/tcp",
        "127.0.0.1:9090:9090/tcp",
    ]


def test_no_secret_stands_in_what_docker_shows(folder, text):
    for name in SECRETS:
        secret = (folder / "secrets" / name).read_text()
        assert len(secret) >= 64
        assert secret not in text


def test_secrets_that_are_there_stay(folder):
    before = {name: (folder / "secrets" / name).read_text() for name in SECRETS}
    subprocess.run([folder / "make-secrets"], check=True, timeout=30)
    assert {name: (folder / "secrets" / name).read_text() for name in SECRETS} == before
    assert len(set(before.values())) == len(SECRETS)
    assert (folder / "secrets").stat().st_mode & 0o077 == 0


def test_every_named_volume_and_secret_is_declared(text):
    plain = yaml.safe_load(text)
    assert set(plain["secrets"]) == set(SECRETS)
    assert {Path(secret["file"]).name for secret in plain["secrets"].values()} == set(SECRETS)
