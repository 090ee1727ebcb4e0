"""Models of several folds as one: their mean, saved and loaded without a pickle."""

from dataclasses import replace

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

from calsweep.platform.fold.ensemble import Ensemble, read_model
from calsweep.platform.fold.model import FoldModel, UnitsDiffer
from tests.platform.written_sweep import tiny_model


def member(slope: float) -> FoldModel:
    """Give the logistic function of `slope * (a - b)`."""
    kernel = torch.tensor([[[slope], [-slope]]])
    return replace(tiny_model(), state={"kernel.weight": kernel, "kernel.bias": torch.zeros(1)})


@pytest.fixture
def ensemble():
    return Ensemble(members=(member(0.0), member(1.0)))


def test_probability_is_the_mean_of_the_members(ensemble):
    frames = np.array([[0.0, 0.0], [2.0, 0.0]], dtype=np.float32)
    probability_TC = ensemble.probabilities(frames, trial_T=np.zeros(2, np.int32))
    # 1 / (1 + exp(-2)) = 0.8808, and the other member always says 0.5
    np.testing.assert_allclose(probability_TC, [[0.5, 0.5], [0.3096, 0.6904]], atol=1e-4)


def test_comes_back_from_plain_files(ensemble, tmp_path):
    ensemble.save(tmp_path / "model")
    files = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert files == [
        "model/ensemble.json",
        "model/members/00/model.json",
        "model/members/00/model.safetensors",
        "model/members/01/model.json",
        "model/members/01/model.safetensors",
    ]
    back = read_model(tmp_path / "model")
    frames = np.array([[2.0, 0.0]], dtype=np.float32)
    one = back.probabilities(frames, trial_T=np.zeros(1, np.int32))
    np.testing.assert_array_equal(
        one, ensemble.probabilities(frames, trial_T=np.zeros(1, np.int32))
    )
    with pytest.raises(UnitsDiffer, match="1 are missing among the 2 of the dataset: b"):
        back.columns(("a", "c"))


def test_folder_of_a_fold_is_read_as_one(tmp_path):
    tiny_model().save(tmp_path / "model")
    assert isinstance(read_model(tmp_path / "model"), FoldModel)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is damaged"), ("{}", "is damaged"), ('{"format": 2, "n_members": 1}', "of format 2")],
)
def test_damaged_ensemble_is_told(ensemble, tmp_path, text, said):
    ensemble.save(tmp_path / "model")
    (tmp_path / "model/ensemble.json").write_text(text)
    with pytest.raises(ValueError, match=said):
        read_model(tmp_path / "model")


def test_missing_member_is_told(ensemble, tmp_path):
    ensemble.save(tmp_path / "model")
    (tmp_path / "model/members/01/model.json").unlink()
    with pytest.raises(ValueError, match="members/01 holds no model"):
        read_model(tmp_path / "model")


def test_members_that_read_something_else_are_refused():
    with pytest.raises(ValueError, match="model 1 differs from the first"):
        Ensemble(members=(member(0.0), replace(member(1.0), rate_hz=20.0)))


def test_mlflow_calls_it(ensemble, tmp_path):
    ensemble.save(tmp_path / "model")
    mlflow.pyfunc.save_model(
        str(tmp_path / "saved"),
        loader_module="calsweep.platform.fold.ensemble",
        data_path=str(tmp_path / "model"),
        pip_requirements=[],
    )
    frames = pd.DataFrame({"a": [0.0, 2.0], "b": [0.0, 0.0]})
    one = mlflow.pyfunc.load_model(str(tmp_path / "saved")).predict(frames)
    np.testing.assert_allclose(one.probability, [0.5, 0.6904], atol=1e-4)
