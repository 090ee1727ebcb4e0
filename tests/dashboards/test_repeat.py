import json
import shlex

import pytest

from calsweep.dashboards.repeat import command_to_repeat
from calsweep.platform.config import compose_settings


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["trainables=bi_gru"], "trainables=bi_gru"),
        (["datasets=traces", "datasets.target=moving"], "datasets=traces"),
        (["search_spaces=[architecture,window]"], "search_spaces=[architecture,window]"),
        (["training.epochs=4", "tuner=random"], "training.epochs=4"),
        (["datasets.transforms.detrend=null"], "datasets.transforms.detrend=null"),
        (["datasets.transforms.detrend.length_frames=200"], "length_frames=200"),
        (["datasets.labels=permuted", "n_trials=3"], "datasets.labels=permuted"),
        (["search_spaces.trainables.n_hidden.choices=[8,16]"], "choices=[8,16]"),
        (["datasets.target='it''s'".replace("''", "\\'")], "datasets.target="),
        (["datasets.address='a folder/with = and é'"], "datasets.address="),
        (["datasets.folds.k_groups=4"], "datasets.folds.k_groups=4"),
        (["datasets/folds=time_blocks", "datasets.folds.n_blocks=8"], "datasets/folds=time_blocks"),
        (["datasets/folds=each_animal"], "datasets/folds=each_animal"),
        (
            [
                "datasets/folds=listed",
                "datasets.folds.folds=[{train: [a], validation: [b], test: [[c, 0, 9]]}]",
            ],
            "datasets/folds=listed",
        ),
        (["datasets.mask.keep=FLa&HLa"], "datasets.mask.keep="),
        (["datasets/masks=random_units", "datasets.mask.seed=3"], "datasets/masks=random_units"),
        (["search_spaces=mask"], "search_spaces=mask"),
        (["datasets.address=s3://lab/m1"], "datasets.address=s3://lab/m1"),
        (["+experiment=widefield_controls"], "+experiment=widefield_controls"),
        (["+experiment=widefield_cnn_rnn"], "+experiment=widefield_cnn_rnn"),
        (["+experiment=footsteps_ablation"], "+experiment=footsteps_ablation"),
        (["+experiment=footsteps"], "+experiment=footsteps"),
        (
            ["+experiment=footsteps", "search_spaces.arms.*.training.epochs=2"],
            "search_spaces.arms.LSTM.training.epochs=2",
        ),
        (
            ["+experiment=footsteps", "datasets/folds=time_blocks", "training.epochs=3"],
            "+experiment=footsteps_blocked",
        ),
        (
            ["+experiment=widefield_cnn_rnn", "~search_spaces.arms.CNN-LSTM"],
            "~search_spaces.arms.CNN-LSTM",
        ),
    ],
)
def test_command_composes_the_same_settings(overrides, told):
    settings = compose_settings(["datasets.address=data/m1", *overrides])
    recorded = json.loads(json.dumps(settings.intent))
    command = command_to_repeat(recorded, name="again")
    program, verb, *found = shlex.split(command)
    assert (program, verb) == ("calsweep", "sweep")
    assert any(told in override for override in found)
    again = compose_settings(found)
    assert json.loads(json.dumps(again.intent)) == recorded
    assert again.sweep_name == "again"


def test_settings_of_another_version_have_no_command():
    settings = compose_settings(["datasets.address=m1"]).intent
    assert command_to_repeat({**settings, "no_such_setting": 1}, name="again") == ""


def test_settings_without_a_dataset_have_no_command():
    assert command_to_repeat({"seed": 1}, name="again") == ""
