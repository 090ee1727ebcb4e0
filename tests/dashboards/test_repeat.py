import json
import shlex
from dataclasses import replace

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
            "search_spaces.arms.*.training.epochs=2",
        ),
        (
            ["+experiment=footsteps", "datasets/folds=time_blocks", "training.epochs=3"],
            "datasets/folds=time_blocks",
        ),
        (
            ["+experiment=widefield_cnn_rnn", "~search_spaces.arms.CNN-LSTM"],
            "~search_spaces.arms.CNN-LSTM",
        ),
    ],
)
def test_command_composes_the_same_settings(overrides, told, sweep):
    given = ["datasets.address=data/m1", "home=here", "name=first", *overrides]
    settings = compose_settings(given)
    intent = json.loads(json.dumps(settings.intent))
    address = intent["datasets"]["address"]
    record = replace(
        sweep,
        settings=intent,
        overrides=settings.overrides,
        dataset={**sweep.dataset, "address": address},
    )
    program, verb, *found = shlex.split(command_to_repeat(record, name="again"))
    assert (program, verb) == ("calsweep", "sweep")
    assert any(told in override for override in found)
    assert not any(override.startswith("home=") for override in found)
    again = compose_settings(found)
    assert json.loads(json.dumps(again.intent)) == intent
    assert again.sweep_name == "again"


def test_settings_of_another_version_have_no_command(sweep):
    settings = compose_settings(["datasets.address=m1"])
    other = {**settings.intent, "no_such_setting": 1}
    record = replace(sweep, settings=other, overrides=settings.overrides)
    assert command_to_repeat(record, name="again") == ""
    unknown = replace(record, settings=settings.intent, overrides=("training.no_such=1",))
    assert command_to_repeat(unknown, name="again") == ""


def test_sweep_that_was_begun_from_code_has_no_command(sweep):
    assert command_to_repeat(replace(sweep, overrides=()), name="again") == ""
