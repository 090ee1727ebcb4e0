"""Typed configuration goes to plain data and back, and nothing else is ever built from it."""

import json

import pytest

from calsweep.datasets.view import View
from calsweep.datasets.window import Window
from calsweep.platform.fold.training import Training
from calsweep.platform.plain import content_hash, from_plain, overlay, to_plain
from calsweep.platform.resources import Resources
from calsweep.platform.settings import Settings
from calsweep.trainables.linear import Linear
from calsweep.trainables.recurrent import Cell, Recurrent

VIEW = View(address="m1", target="run")


def test_round_trip_through_json():
    decoder = Recurrent(cell=Cell.LSTM, bidirectional=True, n_hidden=8)
    plain = to_plain(decoder)
    assert plain["_target_"] == "calsweep.trainables.recurrent.Recurrent"
    assert plain["cell"] == "lstm"
    assert from_plain(json.loads(json.dumps(plain))) == decoder


def test_overlay_changes_only_what_it_names():
    assert overlay(Window(length=31, shift=5), {"length": 7}) == Window(length=7, shift=5)


def test_overlay_changes_all_at_once():
    """Batches of 12 do not suit runs of 8, nor batches of 256 runs of 3, but both together do."""
    changed = overlay(Training(), {"batch_size": 12, "run_length": 3})
    assert (changed.batch_size, changed.run_length) == (12, 3)


def test_overlay_reaches_into_what_it_sets_whole():
    plain = Settings(trainables=Linear(), datasets=VIEW, training=Training())
    gru = {"trainables.n_hidden": 3, "trainables": Recurrent(cell=Cell.GRU)}
    assert overlay(plain, gru).trainables == Recurrent(cell=Cell.GRU, n_hidden=3)


def test_overlay_of_what_is_not_there_is_refused_by_name():
    with pytest.raises(ValueError, match=r"`transforms.detrend.length_frames` cannot be set"):
        overlay(VIEW, {"transforms.detrend.length_frames": 3})


def test_hash_depends_on_values_alone():
    assert content_hash(Window(length=31, shift=0)) == content_hash(Window())
    assert content_hash(Window(length=31, shift=1)) != content_hash(Window())


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("os.system", "only types of calsweep are built"),
        ("subprocess.Popen", "only types of calsweep are built"),
        ("calsweep.datasets.window.os", "not in calsweep"),
        ("calsweep.datasets.window.dataclass", "is not a configuration"),
        ("calsweep.nothing.Here", "not in calsweep"),
    ],
)
def test_other_types_are_never_built(target, message):
    with pytest.raises(ValueError, match=message):
        from_plain({"_target_": target, "command": "true"}, at="trainables")


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"lenght": 3}, r"`w\.lenght` is not a setting\. Did you mean `length`\?"),
        ({"length": "long"}, r"`w\.length` must be of type int, but got 'long'"),
        ({"length": True}, r"`w\.length` must be of type int, but got True"),
        ({"length": 1.5}, r"`w\.length` must be of type int, but got 1\.5"),
        ({"length": 0}, r"w: `length >= 1` must hold"),
    ],
)
def test_wrong_values_are_told_with_their_place(plain, message):
    with pytest.raises(ValueError, match=message):
        from_plain({"_target_": "calsweep.datasets.window.Window", **plain}, at="w")


def test_unknown_member_names_the_nearest():
    plain = {"_target_": "calsweep.trainables.recurrent.Recurrent", "cell": "grru"}
    with pytest.raises(ValueError, match=r"`t\.cell` cannot be 'grru'\. Did you mean `gru`\?"):
        from_plain(plain, at="t")


def test_part_of_a_nested_configuration_lies_over_its_default():
    """The baseline's default is not the default of its type."""
    plain = {
        "_target_": "calsweep.platform.settings.SweepSettings",
        "trainables": {"_target_": "calsweep.trainables.linear.Linear"},
        "datasets": {
            "_target_": "calsweep.datasets.view.View",
            "address": "m1",
            "target": "run",
            "window": {"length": 5},
        },
        "search_spaces": {
            "_target_": "calsweep.search_spaces.space.Space",
            "training": {"epochs": {"choices": [1]}},
        },
        "baseline_training": {"epoch_fraction": 0.25},
        "training": {"epochs": 3},
    }
    settings = from_plain(plain)
    assert settings.baseline_training == Training(
        epochs=10, learning_rate=1e-3, epoch_fraction=0.25
    )
    assert settings.training == Training(epochs=3)
    assert settings.datasets.window == Window(length=5)


def test_whole_numbers_stand_for_floats():
    plain = {"_target_": "calsweep.platform.resources.Resources", "deadline_s": 60}
    assert from_plain(plain) == Resources(deadline_s=60.0)
