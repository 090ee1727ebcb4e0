"""Explanations of a recorded sweep: made once, kept with each fold, compared, and read back."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from calsweep.datasets.fold_protocol import AnimalGroups
from calsweep.datasets.mask import CutOut
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import REGION_WEIGHT, Simulation
from calsweep.datasets.transform import MinMax, Transforms
from calsweep.datasets.view import Labels, View
from calsweep.datasets.window import Window
from calsweep.platform.command import main
from calsweep.platform.commands.explain import attention_lines, explain
from calsweep.platform.explanations.attention_weights import attention_weights
from calsweep.platform.explanations.cut_out import NoCutOuts, find_cut_outs
from calsweep.platform.explanations.explain import (
    Null,
    explain_attention,
    explain_cut_out,
    explain_shap,
)
from calsweep.platform.explanations.explained import read_explained
from calsweep.platform.explanations.explanation import (
    ExplanationDamaged,
    Kind,
    folder_of,
    read_explanation,
)
from calsweep.platform.explanations.shap import Incomplete, ShapOptions, attribute
from calsweep.platform.fold.fold_run import DatasetChanged
from calsweep.platform.fold.trained_fold import TrainedFold, control_of
from calsweep.platform.fold.training import Training
from calsweep.platform.places import cache_folder
from calsweep.platform.settings import Settings
from calsweep.trainables.attention import PooledAttention
from calsweep.trainables.hybrid import Hybrid
from calsweep.trainables.linear import Linear
from calsweep.trainables.recurrence import Cell
from calsweep.trainables.recurrent import Recurrent
from tests.recorded import record_sweep

FEW = ShapOptions(n_frames=60, n_background=5)
HYBRID = Hybrid(n_features=(8, 16), n_hidden=8, n_attention_heads=4, conv_dropout=0.0, dropout=0.0)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def settings(mice):
    view = replace(mice.view(length=11), folds=AnimalGroups(k_groups=3))
    training = Training(epochs=2, batch_size=64, learning_rate=1e-2)
    return Settings(trainables=Linear(), datasets=view, training=training)


@pytest.fixture(scope="module")
def sweep(home, settings):
    permuted = replace(settings.datasets, labels=Labels.PERMUTED)
    gru = Recurrent(cell=Cell.GRU, n_hidden=8)
    trials = {
        "linear": settings,
        "permuted": replace(settings, datasets=permuted),
        "gru": replace(settings, trainables=gru),
        "hybrid": replace(settings, trainables=HYBRID),
    }
    return record_sweep(home, "small", trials, n_folds=3)


def trial_of(sweep, name):
    return next(trial for trial in sweep.trials if trial.name == name)


def shap_of(sweep, home, name, *, options=FEW, null=Null.NONE, folds=None):
    trial = trial_of(sweep, name)
    cache = cache_folder(home)
    folds = trial.folds if folds is None else trial.folds[:folds]
    return explain_shap(sweep, trial, folds=folds, options=options, null=null, cache=cache)


def test_explanation_of_a_linear_model_is_its_weights_times_what_differs(sweep, home):
    trial = trial_of(sweep, "linear")
    fold = TrainedFold.read(sweep.fold_folder(trial.folds[0]))
    data = fold.data(sweep, cache=cache_folder(home))
    found = attribute(fold.model.module(), data=data, options=ShapOptions(n_frames=50))
    assert found.importance.shape == (11, 50)
    assert found.error < 1e-4
    np.testing.assert_allclose(found.sum_E, found.difference_E, atol=1e-4)
    assert len(np.unique(found.targets_E)) == 50
    weight_LN = fold.model.state["kernel.weight"][0].T.numpy()
    # What a unit gets is proportional to its weight: by sign, against a background it exceeds.
    assert np.all((found.importance == 0) == (weight_LN == 0))
    assert (np.abs(found.direction) <= found.importance + 1e-6).all()


@pytest.mark.parametrize("name", ["gru", "hybrid"])
def test_sums_meet_the_models_own_output(sweep, home, name):
    explained = shap_of(sweep, home, name, folds=1)
    explanation = explained.folds[0].explanation
    assert explanation.facts["error"] < 1e-3
    arrays = explanation.arrays
    np.testing.assert_allclose(arrays["sum_E"], arrays["difference_E"], rtol=1e-3, atol=1e-3)
    assert np.ptp(arrays["difference_E"]) > 0.05
    assert explanation.facts["units"] == [f"region{i}" for i in range(1, 51)]


def test_what_is_stored_is_read_back_and_not_made_again(sweep, home):
    first = shap_of(sweep, home, "gru", folds=1)
    place = folder_of(Kind.SHAP, sweep.fold_folder(first.folds[0].record))
    before = (place / "arrays.npz").stat().st_mtime_ns
    again = shap_of(sweep, home, "gru", folds=1)
    assert (place / "arrays.npz").stat().st_mtime_ns == before
    for name, array in first.folds[0].explanation.arrays.items():
        np.testing.assert_array_equal(again.folds[0].explanation.arrays[name], array)
    other = shap_of(sweep, home, "gru", folds=1, options=replace(FEW, n_frames=40))
    assert len(other.folds[0].explanation.arrays["sum_E"]) == 40
    about = json.loads((place / "about.json").read_text())
    assert about["options"] == {"n_frames": 40, "n_background": 5, "class_index": 1, "seed": 0}
    assert {path.name for path in place.parent.iterdir()} == {"shap"}


def test_null_models_are_the_sweeps_control_where_there_is_one(sweep, home):
    trial, control = trial_of(sweep, "linear"), trial_of(sweep, "permuted")
    assert control_of(sweep, trial) is control
    assert control_of(sweep, trial_of(sweep, "gru")) is None
    explained = shap_of(sweep, home, "linear", null=Null.AUTO)
    keys = [fold.explanation.facts["null_key"] for fold in explained.folds]
    assert keys == [fold.key for fold in control.folds]
    read = read_explained(sweep, trial, Kind.SHAP)
    assert [fold.null is not None for fold in read.folds] == [True] * 3
    units = {unit.unit: unit for unit in read.units()}
    assert units["region6"].mean > units["region6"].null_mean
    assert all(0 < unit.rank_sum_p <= 1 and unit.stars == "" for unit in units.values())
    means = [unit.mean for unit in read.units()]
    np.testing.assert_allclose(means, read.mean("importance").mean(axis=0), rtol=1e-5)


def test_null_models_are_trained_where_there_is_no_control(sweep, home):
    with pytest.raises(ValueError, match="`--null control` needs a trial"):
        shap_of(sweep, home, "gru", null=Null.CONTROL, folds=1)
    explained = shap_of(sweep, home, "gru", null=Null.TRAIN, folds=1)
    null = explained.folds[0].explanation.facts["null_key"]
    trained = TrainedFold.read(sweep.folder / "folds" / null)
    assert trained.model.view.labels is Labels.PERMUTED
    assert explained.folds[0].null.facts["error"] < 1e-3
    assert null not in {fold.key for trial in sweep.trials for fold in trial.folds}


def test_planted_regions_come_out_on_top_and_do_not_on_permuted_labels(tmp_path):
    # At 1.5 few frames are saturated in limb areas, so weight in the simulation is size in frames;
    # what is large in frames for no other reason would be as important on permuted labels.
    mice = Simulation(n_frames=4000, seed=1, level=1.5, turn=0.0, stride=0.0)
    write_dataset(mice.recordings(), folder=tmp_path / "mice")
    view = View(
        address=str(tmp_path / "mice"),
        target="run",
        window=Window(length=11),
        transforms=Transforms(scaling=MinMax()),
    )
    planted = Settings(
        trainables=Recurrent(cell=Cell.GRU, n_hidden=8),
        datasets=view,
        training=Training(epochs=2, batch_size=64, learning_rate=1e-2),
    )
    permuted = replace(planted, datasets=replace(view, labels=Labels.PERMUTED))
    trials = {"planted": planted, "permuted": permuted}
    sweep = record_sweep(tmp_path / "home", "planted", trials, n_folds=3)
    limbs = {f"region{i}" for i, weight in REGION_WEIGHT.items() if weight >= 0.5}
    assert len(limbs) == 8
    times_others = {}
    for name in trials:
        found = shap_of(sweep, tmp_path / "home", name, options=ShapOptions(n_frames=300))
        means = {unit.unit: unit.mean for unit in found.units()}
        top = sorted(means, key=means.__getitem__, reverse=True)
        is_limb = [unit in limbs for unit in top]
        if name == "planted":
            assert all(is_limb[:4])
            assert sum(is_limb[:8]) >= 5
        of_limbs = np.mean([means[unit] for unit in limbs])
        times_others[name] = of_limbs / np.mean([means[unit] for unit in set(means) - limbs])
    # Over seeds 1 to 4: 2.8 to 4.3, and 0.9 to 1.8.
    assert times_others["planted"] > 2.5
    assert times_others["planted"] > 2 * times_others["permuted"]


def test_damaged_explanation_is_told_and_made_again(sweep, home, capsys):
    explained = shap_of(sweep, home, "gru", folds=1)
    folder = sweep.fold_folder(explained.folds[0].record)
    assert read_explanation(Kind.CUT_OUT, folder) is None
    file = folder_of(Kind.SHAP, folder) / "arrays.npz"
    whole = file.read_bytes()
    for damaged in (whole[:-100], whole[:200] + b"\0" * 50 + whole[250:], b""):
        file.write_bytes(damaged)
        with pytest.raises(ExplanationDamaged, match="Remove the folder; `calsweep explain`"):
            read_explanation(Kind.SHAP, folder)
    (file.parent / "about.json").unlink()
    with pytest.raises(ExplanationDamaged):
        read_explanation(Kind.SHAP, folder)
    capsys.readouterr()
    shap_of(sweep, home, "gru", folds=1)
    assert "Made again: the explanation in" in capsys.readouterr().out
    assert read_explanation(Kind.SHAP, folder) is not None


def test_operation_without_a_rule_is_told(sweep, home):
    fold = TrainedFold.read(sweep.fold_folder(trial_of(sweep, "linear").folds[0]))
    module = fold.model.module()
    inner = module.forward
    module.forward = lambda frames: inner(frames.cos() * 5)
    with pytest.raises(Incomplete, match="but those of Cosine are .* off"):
        attribute(
            module, data=fold.data(sweep, cache=cache_folder(home)), options=FEW, decoder="Cosine"
        )


def test_class_that_is_not_explained_is_told(sweep, home):
    with pytest.raises(ValueError, match="must be 1, for the one logit of two classes, but got 2"):
        shap_of(sweep, home, "linear", options=replace(FEW, class_index=2), folds=1)
    with pytest.raises(ValueError, match="`--background` at least 2"):
        ShapOptions(n_background=1)


def test_attention_adds_up_and_leaves_outputs_as_they_are(sweep, home):
    trial = trial_of(sweep, "hybrid")
    fold = TrainedFold.read(sweep.fold_folder(trial.folds[0]))
    data = fold.data(sweep, cache=cache_folder(home))
    module = fold.model.module()
    (layer,) = (m for m in module.modules() if isinstance(m, PooledAttention))
    seen = []
    handle = layer.register_forward_hook(lambda *_: seen.append(1))
    found = attention_weights(module, data=data, n_frames=200, seed=0)
    handle.remove()
    assert len(seen) == 1
    assert not layer._forward_pre_hooks
    assert found.weight_CHL.shape == (2, 4, 11)
    assert found.n_windows_C.sum() == 200
    np.testing.assert_allclose(found.weight_CHL.sum(axis=2), 1, rtol=1e-5)


def test_class_without_a_window_is_left_out_of_attention_and_told(sweep, home):
    trial = trial_of(sweep, "hybrid")
    explained = explain_attention(
        sweep, trial, folds=trial.folds[:2], n_frames=60, seed=0, cache=cache_folder(home)
    )
    assert {c: a.shape for c, a in explained.attention().items()} == {0: (2, 11), 1: (2, 11)}

    def without(fold, *classes):
        weight_CHL = fold.explanation.arrays["weight_CHL"].copy()
        weight_CHL[list(classes)] = np.nan  # as `attention_weights` has it
        arrays = {**fold.explanation.arrays, "weight_CHL": weight_CHL}
        return replace(fold, explanation=replace(fold.explanation, arrays=arrays))

    first, second = explained.folds
    of_one = replace(explained, folds=(first, without(second, 1)))
    np.testing.assert_array_equal(of_one.attention()[1], explained.attention()[1][:1])
    assert [line[:16] for line in attention_lines(of_one)[1:]] == [
        "class 0: most on",
        "class 1: most on",
    ]
    assert "nan" not in " ".join(attention_lines(of_one))
    of_none = replace(explained, folds=(without(first, 1), without(second, 1)))
    assert attention_lines(of_none)[2] == (
        "class 1: no test window among those drawn; `--frames` draws more."
    )


def run(*arguments):
    result = CliRunner().invoke(explain, [str(a) for a in arguments], catch_exceptions=False)
    return result.exit_code, result.output


def test_commands_from_shell_to_mlflow(sweep, home, monkeypatch):
    import mlflow

    uri = f"sqlite:///{home}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    few = ("--home", home, "--frames", 60)
    code, out = run("shap", "small", "--trial", "linear", "--background", 5, *few)
    assert code == 0, out
    assert "Completeness: attributions add up to output less mean output within" in out
    assert all(text in out for text in ("region", "null model", "Next: calsweep report small"))
    number = trial_of(sweep, "hybrid").number
    code, out = run("attention", "small", "--trial", number, *few)
    assert code == 0, out
    assert "even would be 0.091" in out
    client = mlflow.MlflowClient(uri)
    key = trial_of(sweep, "linear").folds[1].key
    experiment = client.get_experiment_by_name("calsweep/small").experiment_id
    (child,) = client.search_runs([experiment], f"tags.`calsweep.fold_key` = '{key}'")
    kept = client.list_artifacts(child.info.run_id, "explanations/shap")
    assert [file.path.rpartition("/")[2] for file in kept] == ["about.json", "arrays.npz"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shap", "smal"], "Did you mean `small`?"),
        (["shap", "small", "--trial", "lineal"], "Did you mean `linear`?"),
        (["cutout", "small", "--trial", "lineal"], "Did you mean `linear`?"),
        (["cutout", "small", "--trial", "best"], "there are 0 with a square cut out"),
        (["shap", "small", "--trial", "gru", "--fold", 9], "has no trained fold 9: name some of 0"),
        (["attention", "small", "--trial", "gru"], "but Recurrent has none"),
        (["cutout", "small"], "a map needs one finished configuration that sees whole images"),
    ],
)
def test_wrong_request_is_told(sweep, home, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        main(["explain", *map(str, arguments), "--home", str(home)])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_mlflow_out_of_reach_loses_nothing(sweep, home):
    nowhere = "http://127.0.0.1:9"
    arguments = ("--home", home, "--frames", 60, "--background", 5, "--null", "none")
    code, out = run("shap", "small", "--trial", "linear", *arguments, "--tracking-uri", nowhere)
    assert code == 0
    assert "MLflow does not have it yet" in out
    assert "Give the same command again" in out


def test_another_dataset_at_the_address_is_refused(sweep, home, mice):
    changed = replace(sweep, dataset={**sweep.dataset, "content_hash": "0" * 64})
    fold = TrainedFold.read(sweep.fold_folder(trial_of(sweep, "linear").folds[0]))
    with pytest.raises(DatasetChanged):
        fold.data(changed, cache=cache_folder(home))


def test_cut_out_map_of_a_sweep_over_compartments(image_mice, tmp_path):
    mask = CutOut(size_px=16, stride_px=8)
    settings = Settings(
        trainables=Linear(),
        datasets=image_mice.view(mask=mask),
        training=Training(epochs=1, batch_size=32, run_length=4),
    )

    def without(compartment):
        view = replace(settings.datasets, mask=replace(mask, compartment=compartment))
        return replace(settings, datasets=view)

    trials = {"whole": settings, **{f"without {c}": without(c) for c in range(16)}}
    sweep = record_sweep(tmp_path / "home", "squares", trials, n_folds=1)
    cut_outs = find_cut_outs(sweep)
    assert (cut_outs.whole.name, len(cut_outs.without)) == ("whole", 16)
    explained = explain_cut_out(sweep, cut_outs)
    arrays = explained.folds[0].explanation.arrays
    whole = cut_outs.whole.folds[0].test.auc
    auc_S = [trial_of(sweep, f"without {c}").folds[0].test.auc for c in range(16)]
    np.testing.assert_allclose(arrays["importance_S"], whole - np.array(auc_S))
    held = [0, 3, 12, 15]
    expected = np.mean(arrays["importance_S"][held])
    assert arrays["importance_YX"].shape == (4, 4)
    assert arrays["importance_YX"][0, 0] == pytest.approx(expected)
    again = read_explained(sweep, cut_outs.whole, Kind.CUT_OUT)
    np.testing.assert_array_equal(again.mean("importance_YX"), arrays["importance_YX"])
    region_HW = np.zeros((32, 32), int)
    region_HW[4:8, 4:20] = 6
    np.save(tmp_path / "regions.npy", region_HW)
    outlined = explain_cut_out(sweep, cut_outs, regions=tmp_path / "regions.npy")
    assert np.array_equal(outlined.folds[0].explanation.arrays["region_HW"], region_HW)
    fewer = replace(sweep, trials=sweep.trials[:-1])
    with pytest.raises(NoCutOuts, match="1 of 16 compartments are missing"):
        explain_cut_out(fewer, find_cut_outs(fewer))
