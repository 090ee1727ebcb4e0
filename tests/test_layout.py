"""The tree holds: links lead to their folders, nothing of Python is hidden, arrows go one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("platform", "search_spaces", "trainables", "datasets", "dashboards")
MAY_IMPORT = {
    "platform": {"trainables", "search_spaces", "datasets"},
    "dashboards": {"platform", "trainables", "search_spaces", "datasets"},
    "trainables": set(),
    "search_spaces": set(),
    "datasets": set(),
}
# An engine is known to the modules named here and to no other.
KNOWN_TO = {
    "ray.tune": {"platform/search.py"},
    "ray.train": {"platform/trial.py"},
    "ray": {
        "platform/search.py",
        "platform/trial.py",
        "platform/cluster.py",
        "platform/population/generation.py",
        "platform/metrics/exported.py",
    },
    "mlflow": {
        "platform/tracking/tracking.py",
        "platform/tracking/reach.py",
        "platform/champion/registry.py",
        "platform/tracking/run_store.py",
        "platform/tracking/run_tables.py",
        "platform/tracking/run_writer.py",
        "platform/tracking/stored_model.py",
        "platform/tracking/run_check.py",
        "platform/tracking/registry_check.py",
    },
    "sqlalchemy": {"platform/tracking/reach.py", "platform/tracking/run_tables.py"},
    "boto3": {"platform/object_storage/bucket.py", "platform/object_storage/s3_client.py"},
    "botocore": {
        "platform/object_storage/bucket.py",
        "platform/object_storage/s3_client.py",
        "platform/object_storage/s3_errors.py",
    },
    "monai": {"trainables/efficientnet.py", "trainables/pretrained.py"},
    "oasis": {"datasets/deconvolution.py"},
    "captum": {"platform/explanations/shap.py"},
    "hydra": {"platform/config.py"},
    "omegaconf": {"platform/config.py"},
}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def sources() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("folder", FOLDERS)
def test_link_leads_to_its_folder(folder):
    link = ROOT / "calsweep" / folder
    assert link.is_symlink()
    assert str(link.readlink()) == f"../{folder}"


def test_no_folder_is_a_regular_package():
    found = [
        p for folder in (*FOLDERS, "infra", "tests") for p in (ROOT / folder).rglob("__init__.py")
    ]
    assert found == []


def test_platform_of_python_is_not_hidden():
    code = "import platform; print(platform.python_implementation())"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert run.stdout.strip() == "CPython"


def test_imports_follow_the_arrows():
    wrong = []
    for path in sources():
        folder = path.relative_to(ROOT).parts[0]
        for name in imports(path):
            parts = name.split(".")
            of_ours = parts[0] == "calsweep" and len(parts) > 1 and parts[1] in FOLDERS
            if of_ours and parts[1] not in {folder, *MAY_IMPORT[folder]}:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("engine", KNOWN_TO)
def test_engine_is_known_to_few(engine):
    knowing = {
        str(path.relative_to(ROOT))
        for path in sources()
        if any(name == engine or name.startswith(f"{engine}.") for name in imports(path))
    }
    assert knowing <= KNOWN_TO[engine]
