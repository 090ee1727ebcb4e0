"""Every experiment: the numbers of the paper, its grid, its audit, and a fold of each decoder."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from calsweep.datasets.audit import Standing
from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import Dataset, open_dataset
from calsweep.datasets.footsteps import Footsteps
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.datasets.store import FolderStore
from calsweep.datasets.transform import Detrend, MinMax, PixelScale, Scope, ZScore
from calsweep.datasets.view import Inputs, Labels, check_mask, check_windows, plan_folds
from calsweep.datasets.widefield_images import WidefieldImages
from calsweep.datasets.window import Window
from calsweep.platform.auditor import Auditor
from calsweep.platform.commands.sweep import sweep
from calsweep.platform.config import compose_settings, experiments
from calsweep.platform.fold.fold_run import run_fold
from calsweep.platform.fold.fold_task import FoldTask
from calsweep.platform.fold.training import ClassWeights, Precision, Schedule
from calsweep.platform.plain import to_plain
from calsweep.platform.provenance import code_version
from calsweep.platform.record import FoldRecord, TrialState
from calsweep.platform.record_reader import read_sweep
from calsweep.trainables.normalization import Normalization
from calsweep.trainables.recurrence import Cell

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Small:
    """What an experiment is tried on here, and how it is made small."""

    dataset: str
    overrides: tuple[str, ...] = ()


ON_REGIONS = Small(
    "regions",
    (
        "datasets.folds.k_groups=3",
        "trainables.n_hidden=4",
        "training.epochs=1",
    ),
)
ON_IMAGES = Small(
    "images",
    (
        "datasets.folds.k_groups=3",
        "trainables.cnn.width=0.25",
        "trainables.cnn.depth=0.25",
        "trainables.n_hidden=4",
        "first_training.epochs=1",
        "training.epochs=1",
        "training.epoch_fraction=0.5",
    ),
)
ON_STEPS = Small(
    "steps", ("search_spaces.arms.*.training.epochs=1", "training.epoch_fraction=0.25")
)
SQUARES = ("datasets.mask.size_px=8", "datasets.mask.stride_px=4")  # 64 of images of 32 x 32
SMALL = {
    "footsteps": ON_STEPS,
    "footsteps_ablation": ON_STEPS,
    "footsteps_across_animals": Small("walkers", ON_STEPS.overrides),
    "footsteps_blocked": ON_STEPS,
    "widefield_cnn_rnn": ON_IMAGES,
    "widefield_controls": ON_REGIONS,
    "widefield_cut_out": Small("images", (*ON_IMAGES.overrides, *SQUARES)),
    "widefield_detrending": ON_REGIONS,
    "widefield_image_window": ON_IMAGES,
    "widefield_label_shift": ON_REGIONS,
    "widefield_regions": ON_REGIONS,
    "widefield_rnns": ON_REGIONS,
    "widefield_window_length": ON_REGIONS,
}
ARMS = {
    "footsteps": ["LSTM", "Hybrid"],
    "footsteps_ablation": [
        "Hybrid",
        "no-skip",
        "no-attention",
        "no-contralateral-head",
        "no-ipsilateral-head",
        "no-activity-head",
        "class-head-alone",
        "no-focal-loss",
        "dynamic-normalization",
        "adaptive-scale",
        "class-weights",
        "mixup",
        "learnt-task-weights",
        "published-code",
    ],
    "footsteps_across_animals": ["LSTM", "Hybrid"],
    "footsteps_blocked": ["LSTM", "Hybrid"],
    "widefield_cnn_rnn": ["CNN", "CNN-GRU", "CNN-LSTM"],
    "widefield_controls": ["GRU", "Raw", "Random"],
}
LENGTH, SHIFT = "datasets.window.length", "datasets.window.shift"
DETREND = "datasets.transforms.detrend.length_frames"
KEEP = "datasets.mask.keep"
GRIDS = {name: [{"arm": arm} for arm in arms] for name, arms in ARMS.items()} | {
    "widefield_cut_out": [{"datasets.mask.compartment": c} for c in (None, *range(64))],
    "widefield_detrending": [{DETREND: n} for n in (30, 100, 300, 1000, 3000, 10000)],
    "widefield_image_window": [
        {"trainables.cell": cell, LENGTH: n} for cell in ("gru", "lstm") for n in (7, 13, 23, 33)
    ],
    "widefield_label_shift": [
        {SHIFT: n} for n in (-60, -50, -40, -30, -20, -10, 0, 10, 20, 30, 40, 50, 60)
    ],
    "widefield_regions": [
        {KEEP: regions}
        for regions in (
            "all",
            "FLa&HLa",
            "not FLa&HLa",
            "M2&M1",
            "FL&HL",
            "PT&RS",
            "V1&Vm",
            "Vl&A1",
        )
    ],
    "widefield_rnns": [
        {"trainables.cell": cell, "trainables.bidirectional": both}
        for cell in ("simple", "lstm", "gru")
        for both in (False, True)
    ],
    "widefield_window_length": [{LENGTH: n} for n in (11, 21, 31, 41, 51, 61)],
}
# Classes that an arm's decoder also tells by heads of their own.
SIDES = {
    arm: (1, 2)
    for arm in (*ARMS["footsteps_ablation"], "Hybrid")
    if arm not in {"no-contralateral-head", "no-ipsilateral-head", "class-head-alone"}
} | {"no-contralateral-head": (2,), "no-ipsilateral-head": (1,)}
STANDING = dict.fromkeys(SMALL, Standing.NOTED) | {"footsteps": Standing.LEAKY}
RECORDINGS = {
    "regions": lambda: Simulation(n_mice=3, n_frames=500, seed=2).recordings(),
    "images": lambda: WidefieldImages(
        mice=Simulation(n_mice=3, n_frames=160, seed=2), height=32, width=32
    ).recordings(),
    "steps": lambda: Footsteps(
        n_mice=1, recordings_per_mouse=1, n_frames=900, n_neurons=12
    ).recordings(),
    "walkers": lambda: Footsteps(
        n_mice=3, recordings_per_mouse=1, n_frames=400, n_neurons=12
    ).recordings(),
}


def settings_of(name, *overrides, address="lab/m1"):
    return compose_settings([f"+experiment={name}", f"datasets.address={address}", *overrides])


def arm_of(name, arm):
    return settings_of(name).configuration({"arm": arm})


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Each dataset, made when it is first asked for."""
    made: dict[str, Dataset] = {}

    def dataset(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            write_dataset(RECORDINGS[name](), folder=folder / "dataset", shard_mb=0.1)
            store = FolderStore(folder / "dataset")
            made[name] = open_dataset(store, cache=Cache(folder / "cache"))
        return made[name]

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield dataset
    torch.set_num_threads(threads)


def shown_rows(settings):
    """Each arm; of an axis its ends, for each decoder."""
    rows = settings.search_spaces.grid()
    if settings.search_spaces.arms:
        return rows
    of_decoder = {}
    for row in rows:
        of_decoder.setdefault(settings.configuration(row).trainables, []).append(row)
    return [row for rows in of_decoder.values() for row in {0: rows[0], -1: rows[-1]}.values()]


def test_every_experiment_is_tried_here():
    assert set(experiments()) == set(SMALL) == set(GRIDS) == set(STANDING)


@pytest.mark.parametrize("name", experiments())
class TestExperiment:
    def test_says_what_it_is(self, name):
        assert experiments()[name].startswith(("W, ", "H, ", "H's "))

    def test_is_listed_in_the_help(self, name):
        assert f"{name} " in sweep.help
        assert experiments()[name] in sweep.help

    def test_grid_is_the_papers(self, name):
        settings = settings_of(name)
        assert settings.search_spaces.grid() == GRIDS[name]
        found = [settings.configuration(row) for row in GRIDS[name]]
        assert len({repr(configuration) for configuration in found}) == len(found)

    def test_audit_and_a_fold_of_each_decoder(self, name, datasets, tmp_path):
        dataset = datasets(SMALL[name].dataset)
        address = str(dataset.store.folder)
        settings = settings_of(name, *SMALL[name].overrides, address=address)
        timeline = dataset.timeline(settings.datasets.target)
        every = [settings.configuration(row).datasets for row in settings.search_spaces.grid()]
        views = [settings.datasets, settings.linear.datasets, *every]
        for view in views:
            check_windows(dataset.manifest, view)
            assert check_mask(dataset.manifest, view).any()
        plan = plan_folds(timeline, views)
        auditor = Auditor(plan, timeline)
        auditor.check(views)
        assert auditor.verdict(settings.datasets).standing is STANDING[name]
        for row in shown_rows(settings):
            task = FoldTask(
                settings=to_plain(settings.configuration(row)),
                fold=plan.folds[0],
                seed=0,
                dataset_hash=dataset.manifest.content_hash,
                plan_hash=plan.content_hash,
                code=code_version(),
                folder=tmp_path / "folds",
                cache=tmp_path / "cache",
            )
            run_fold(task)
            record = FoldRecord.read(task.place)
            assert len(record.curve) == 1
            assert 0 <= record.test.auc <= 1
            columns = pq.read_schema(task.place / "predictions.parquet").names
            sides = [column for column in columns if column.startswith("side_")]
            assert sides == [f"side_{c}" for c in SIDES.get(row.get("arm"), ())]
        if name == "widefield_cnn_rnn":  # the CNN is an arm, and the first step of the other two
            assert len(list((tmp_path / "folds").glob("[!.]*"))) == 3


class TestNumbersOfW:
    """Ajioka et al., Methods."""

    @pytest.mark.parametrize("name", [name for name in SMALL if SMALL[name].dataset == "regions"])
    def test_recurrent_decoders_of_regions(self, name):
        start = settings_of(name).start
        assert (start.trainables.cell, start.trainables.bidirectional) == (Cell.GRU, False)
        assert start.trainables.n_hidden == 32
        assert start.datasets.target == "run"
        assert start.datasets.window == Window(length=31, shift=0)
        assert start.datasets.transforms.detrend == Detrend(length_frames=1000)
        assert start.datasets.transforms.scaling == MinMax(over=Scope.TRAINING)
        assert start.datasets.folds.k_groups == 5
        training = start.training
        assert (training.epochs, training.batch_size) == (30, 256)
        assert (training.learning_rate, training.schedule) == (0.001, Schedule.CONSTANT)
        assert (training.label_smoothing, training.weight_decay) == (0.01, 0)
        assert (training.patience, training.class_weights) == (0, ClassWeights.NONE)
        assert training.epoch_fraction == 1

    @pytest.mark.parametrize("name", [name for name in SMALL if SMALL[name].dataset == "images"])
    def test_decoders_of_images(self, name):
        start = settings_of(name).start
        assert start.datasets.inputs is Inputs.IMAGES
        assert start.datasets.transforms.scaling == PixelScale(over=Scope.RECORDING)
        assert start.datasets.transforms.detrend is None
        assert start.datasets.window == Window(length=13, shift=0)
        assert (start.trainables.cell, start.trainables.n_hidden) == (Cell.GRU, 128)
        assert (start.trainables.n_layers, start.trainables.dropout) == (2, 0.2)
        assert not start.trainables.freeze_cnn
        assert (start.trainables.cnn.size.value, start.trainables.cnn.width) == ("b0", 1)
        assert (start.first_training.epochs, start.first_training.batch_size) == (3, 512)
        assert (start.training.epochs, start.training.batch_size) == (3, 32)
        assert start.training.run_length == 16
        for training in (start.first_training, start.training):
            assert (training.learning_rate, training.schedule) == (0.001, Schedule.ONE_CYCLE)
            assert (training.warmup, training.label_smoothing) == (0.25, 0)
            assert (training.weight_decay, training.precision) == (0, Precision.FLOAT32)

    def test_cnn_alone_is_the_first_step_of_the_others(self):
        cnn, gru, lstm = (arm_of("widefield_cnn_rnn", arm) for arm in ARMS["widefield_cnn_rnn"])
        assert cnn.datasets.window == Window(length=3, shift=0)
        assert gru.first == lstm.first == cnn
        assert (gru.trainables.cell, lstm.trainables.cell) == (Cell.GRU, Cell.LSTM)

    def test_what_is_said_of_the_cnn_reaches_all_three(self):
        overrides = ["trainables.cnn.weights=b0.safetensors", "first_training.epochs=1"]
        settings = settings_of("widefield_cnn_rnn", *overrides)
        found = [settings.configuration({"arm": arm}) for arm in ARMS["widefield_cnn_rnn"]]
        assert found[0].trainables.weights == "b0.safetensors"
        assert found[0].training.epochs == 1
        assert found[0] == found[1].first == found[2].first

    def test_controls(self):
        gru, raw, random = (arm_of("widefield_controls", arm) for arm in ("GRU", "Raw", "Random"))
        assert raw.datasets.transforms.detrend is None
        assert raw.datasets.transforms.scaling == gru.datasets.transforms.scaling
        assert random.datasets.labels is Labels.PERMUTED
        assert random.datasets.transforms == gru.datasets.transforms


class TestNumbersOfH:
    """Mirzaee et al., Tables 1 and 2, and Methods."""

    @pytest.mark.parametrize("name", [name for name in SMALL if name.startswith("footsteps")])
    def test_hybrid(self, name):
        hybrid = arm_of(name, "Hybrid")
        assert hybrid.datasets.target == "footstep"
        assert hybrid.datasets.window == Window(length=32, shift=15)
        decoder, training = hybrid.trainables, hybrid.training
        assert decoder.n_features == (64, 128, 256)
        assert (decoder.conv_dropout, decoder.dropout) == (0.25, 0.5)
        assert (decoder.skip, decoder.n_groups) == (True, 8)
        assert (decoder.n_hidden, decoder.n_layers) == (128, 2)
        assert (decoder.attention, decoder.n_attention_heads) == (True, 8)
        assert decoder.normalization is Normalization.BATCH
        tasks = decoder.tasks
        assert (tasks.class_weight, tasks.side_weight, tasks.activity_weight) == (1, 0.5, 1)
        assert (training.epochs, training.batch_size) == (500, 32)
        assert (training.learning_rate, training.weight_decay) == (1e-4, 1e-5)
        assert (training.schedule, training.warmup) == (Schedule.ONE_CYCLE, 0.3)
        assert (training.clip_norm, training.patience) == (1, 7)
        assert (training.focal_alpha, training.focal_gamma) == (2, 2)
        assert (training.class_weights, training.mixup) == (ClassWeights.NONE, 0)
        assert (training.label_smoothing, training.run_length) == (0, 1)

    @pytest.mark.parametrize("name", ["footsteps", "footsteps_blocked", "footsteps_across_animals"])
    def test_lstm(self, name):
        lstm = arm_of(name, "LSTM")
        assert lstm.datasets.window == Window(length=10, shift=4)
        decoder, training = lstm.trainables, lstm.training
        assert (decoder.n_hidden, decoder.n_layers) == (64, 2)
        assert (decoder.n_connected, decoder.dropout) == ((64, 32), 0.5)
        assert (training.epochs, training.batch_size) == (30, 64)
        assert (training.learning_rate, training.weight_decay) == (1e-4, 1e-5)
        assert training.schedule is Schedule.PLATEAU
        assert (training.clip_norm, training.patience) == (1, 7)
        assert training.class_weights is ClassWeights.INVERSE_FREQUENCY
        assert (training.focal_gamma, training.focal_alpha) == (0, 1)
        assert (training.label_smoothing, training.mixup, training.run_length) == (0, 0, 1)

    def test_windows_are_decoded_at_their_last_frame(self):
        for arm, last in (("LSTM", 9), ("Hybrid", 31)):
            assert arm_of("footsteps", arm).datasets.window.target_offset == last

    def test_splits(self):
        split, blocked, across = (
            settings_of(name).datasets
            for name in ("footsteps", "footsteps_blocked", "footsteps_across_animals")
        )
        assert (split.folds.validation_share, split.folds.test_share) == (0.15, 0.15)
        assert type(split.folds).__name__ == "StratifiedWindows"
        assert type(blocked.folds).__name__ == "TimeBlocks"
        assert type(across.folds).__name__ == "EachAnimal"
        assert split.transforms.scaling == blocked.transforms.scaling == ZScore(over=Scope.TRAINING)
        assert across.transforms.scaling == ZScore(over=Scope.RECORDING)

    def test_each_arm_of_the_ablation_changes_one_part(self):
        hybrid = to_plain(arm_of("footsteps_ablation", "Hybrid"))
        found = {
            arm: dict(_changes(hybrid, to_plain(arm_of("footsteps_ablation", arm))))
            for arm in ARMS["footsteps_ablation"]
        }
        assert found == {
            "Hybrid": {},
            "no-skip": {"trainables.skip": False},
            "no-attention": {"trainables.attention": False},
            "no-contralateral-head": {"trainables.tasks.side_classes": [2]},
            "no-ipsilateral-head": {"trainables.tasks.side_classes": [1]},
            "no-activity-head": {"trainables.tasks.activity": "none"},
            "class-head-alone": {
                "trainables.tasks.side_classes": [],
                "trainables.tasks.activity": "none",
            },
            "no-focal-loss": {"training.focal_gamma": 0, "training.focal_alpha": 1},
            "dynamic-normalization": {"trainables.normalization": "dynamic"},
            "adaptive-scale": {"trainables.adaptive_scale": True},
            "class-weights": {"training.class_weights": "inverse_frequency"},
            "mixup": {"training.mixup": 0.2},
            "learnt-task-weights": {"trainables.tasks.weighting": "learnt"},
            "published-code": {
                "trainables.normalization": "dynamic",
                "trainables.adaptive_scale": True,
                "trainables.n_head_hidden": 128,
                "trainables.tasks.activity": "component",
                "trainables.tasks.weighting": "learnt",
                "training.class_weights": "inverse_frequency",
                "training.mixup": 0.2,
            },
        }


def _changes(one, other, at=""):
    for key, value in one.items():
        name = f"{at}.{key}".lstrip(".")
        if isinstance(value, dict):
            yield from _changes(value, other[key], name)
        elif value != other[key]:
            yield name, other[key]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_experiment_from_the_shell(mice, tmp_path):
    run = subprocess.run(
        [
            sys.executable, "-m", "calsweep.platform", "sweep", "+experiment=widefield_controls",
            f"datasets.address={mice.folder}", f"home={tmp_path}", "name=controls",
            *ON_REGIONS.overrides, "training.learning_rate=0.01", "baseline_training.epochs=1",
        ],
        cwd=ROOT, env={**os.environ, "CALSWEEP_HOME": str(tmp_path)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Raw" in run.stdout
    trials = read_sweep(tmp_path, "controls").trials
    assert [trial.values.get("arm") for trial in trials] == [None, "GRU", "Raw", "Random"]
    assert [trial.state for trial in trials] == [TrialState.DONE] * 4
    assert [len(trial.folds) for trial in trials] == [6] * 4
    said = {trial.values.get("arm"): trial.verdict.notes for trial in trials}
    assert any("permuted" in sentence for sentence in said["Random"])
