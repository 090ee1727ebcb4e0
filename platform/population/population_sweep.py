"""A sweep by a population: the baseline, the generations, and the members as trials of the record.

A member is a trial of the sweep with its number. Its folds hold the weights of the epoch with the
lowest validation loss along its lineage, as those of any other trial do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from calsweep.platform.errors import first_line
from calsweep.platform.fold.training import Schedule
from calsweep.platform.interruption import Interruption
from calsweep.platform.places import cache_folder
from calsweep.platform.plain import overlay, to_plain
from calsweep.platform.population.evolution import Evolution
from calsweep.platform.population.generation import work_on
from calsweep.platform.population.lineage import Life, Lineage
from calsweep.platform.population.member import member_seed
from calsweep.platform.record import BASELINE, SweepRecord, TrialState
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.settings import Settings, SweepSettings
from calsweep.platform.trial import cause_of, train_folds
from calsweep.platform.trial_plan import TrialPlan
from calsweep.search_spaces.mutation import Bounds
from calsweep.search_spaces.population import Unit
from calsweep.trainables.decoder import Problem, TwoStep

if TYPE_CHECKING:
    from calsweep.platform.auditor import Auditor
    from calsweep.platform.population.decoder_learner import DecoderLearners, FinishedMember
    from calsweep.platform.record_writer import Record

_FAR = 1e6


def check_population(settings: SweepSettings, problem: Problem, /) -> None:
    """Check that a population can search a space with a decoder.

    Parameters
    ----------
    settings
        Of the sweep.
    problem
        What the decoder is asked to solve.

    Raises
    ------
    ValueError
        If a setting cannot change while a decoder trains, or the population could not work.
    """
    from calsweep.platform.population.live_setting import TRAINABLES, carriers, check_live

    start = settings.start
    if isinstance(settings.trainables, TwoStep):
        raise ValueError(
            "a decoder of two steps cannot be a member of a population: take one of one step, or "
            "another tuner."
        )
    if start.training.schedule is not Schedule.CONSTANT or start.training.patience:
        raise ValueError(
            "a population finds its own schedules and ends by population.patience, so "
            "`training.schedule=constant` and `training.patience=0` must hold, but got "
            f"{start.training.schedule.value} and {start.training.patience}."
        )
    for name, axis in settings.search_spaces.mutable().items():
        _check_number(start, name, axis.low)
        if name.startswith(TRAINABLES):
            ends = (axis.low, axis.high)
            carriers(start.trainables, name.removeprefix(TRAINABLES), ends, problem)
        else:
            check_live(name)
        if axis.mutation.bounds is Bounds.SOFT:
            _check_soft(start, name, axis.high * _FAR)


def run_population(
    settings: SweepSettings,
    plan: TrialPlan,
    record: Record,
    /,
    *,
    auditor: Auditor,
    say: Callable[[str], None],
) -> None:
    """Train the baseline and the population, and leave every member as a trial of the record."""
    with Interruption() as interruption:
        done = {
            trial.number
            for trial in read_sweep(settings.home, record.folder.name).trials
            if trial.state is not TrialState.RUNNING and not trial.may_pass
        }
        if 0 not in done:
            _train_baseline(settings, plan, record, auditor=auditor)
            say("The linear baseline is trained.")

        def check() -> None:
            interruption.check()
            record.check()

        evolution = evolution_of(settings, plan)
        lineage = replace(evolution, say=say, on_wait=check, writing=record.writing).run()
        _finish(settings, plan, record, lineage, auditor=auditor, done=done, check=interruption)
        interruption.check()


def evolution_of(settings: SweepSettings, plan: TrialPlan, /) -> Evolution:
    """Give the population of a sweep."""
    return Evolution(
        learners=_learners(settings, plan),
        space=settings.search_spaces,
        population=settings.population,
        seed=settings.seed,
        folder=plan.folder,
        resources=settings.resources,
    )


def learners_of(sweep: SweepRecord, settings: SweepSettings, /) -> DecoderLearners:
    """Give what builds the members of a sweep that was run.

    Parameters
    ----------
    sweep
        Its record.
    settings
        That the sweep was begun with.
    """
    plan = TrialPlan(
        folds=sweep.plan,
        seed=settings.seed,
        dataset_hash=sweep.dataset["content_hash"],
        code=sweep.code_version,
        folder=sweep.folder,
        cache=cache_folder(settings.home),
        resources=settings.resources,
    )
    return _learners(settings, plan)


def _learners(settings: SweepSettings, plan: TrialPlan) -> DecoderLearners:
    from calsweep.platform.population.decoder_learner import DecoderLearners

    axes = settings.search_spaces.mutable()
    return DecoderLearners(
        tasks=plan.tasks(to_plain(settings.start)),
        searched={name: (axis.low, axis.high) for name, axis in axes.items()},
        unit=settings.population.unit,
        device="cuda" if settings.resources.gpus else "cpu",
    )


def _train_baseline(
    settings: SweepSettings, plan: TrialPlan, record: Record, *, auditor: Auditor
) -> None:
    _begin(record, 0, BASELINE, {}, settings.linear, auditor=auditor)
    try:
        for fold in train_folds(
            plan.tasks(to_plain(settings.linear)), resources=settings.resources
        ):
            record.add_fold(0, key=fold.key)
    except Exception as error:  # noqa: BLE001 - it is recorded with the trial, the rest go on
        cause = cause_of(error)
        record.end_trial(
            0,
            TrialState.FAILED,
            error=f"{type(cause).__name__}: {first_line(cause)}",
            may_pass=not isinstance(cause, (ValueError, ArithmeticError)),
        )
        return
    record.end_trial(0, TrialState.DONE)


def _finish(
    settings: SweepSettings,
    plan: TrialPlan,
    record: Record,
    lineage: Lineage,
    *,
    auditor: Auditor,
    done: set[int],
    check: Interruption,
) -> None:
    """Test members once and write them as trials; those that died in the end failed."""
    from calsweep.platform.population.decoder_learner import save_member

    last = lineage.n_generations
    alive = []
    for member, life in lineage.generation(last).items():
        if member in done:
            continue
        configuration = _configuration(settings, life)
        name = f"member {member}"
        _begin(record, member, name, life.values, configuration, auditor=auditor)
        if life.result.is_alive:
            ancestry = lineage.ancestry(member, generation=last)
            place = lineage.place(generation=last, member=member)
            alive.append(_finished(settings, plan, configuration, ancestry, place))
        else:
            record.end_trial(member, TrialState.FAILED, error=life.error)
    if not alive:
        return
    for finished, _, error in work_on(
        save_member,
        _learners(settings, plan),
        alive,
        folder=lineage.place(generation=last, member=1).parent,
        resources=replace(settings.resources, num_workers=1),  # it is tested in one process
        on_wait=check.check,
    ):
        if error:
            record.end_trial(finished.member, TrialState.FAILED, error=error, may_pass=True)
            continue
        for task in finished.tasks:
            record.add_fold(finished.member, key=task.key)
        record.end_trial(finished.member, TrialState.DONE)


def _configuration(settings: SweepSettings, life: Life) -> Settings:
    """Give a member's settings in its last generation, with all the epochs that it trained."""
    configuration = settings.configuration(life.values)
    population = settings.population
    if population.unit is Unit.STEPS:
        return configuration
    n_epochs = population.generation * life.generation
    return replace(configuration, training=replace(configuration.training, epochs=n_epochs))


def _finished(
    settings: SweepSettings,
    plan: TrialPlan,
    configuration: Settings,
    ancestry: tuple[Life, ...],
    place: Any,
) -> FinishedMember:
    from calsweep.platform.population.decoder_learner import FinishedMember

    population = settings.population
    lives = [[member_seed(settings.seed, life.member), dict(life.values)] for life in ancestry]
    history = (population.generation, population.unit.value, lives)
    return FinishedMember(
        member=ancestry[-1].member,
        place=place,
        tasks=tuple(replace(task, history=history) for task in plan.tasks(to_plain(configuration))),
        train_seconds=math.fsum(life.train_seconds for life in ancestry),
    )


def _begin(
    record: Record,
    number: int,
    name: str,
    values: Any,
    configuration: Settings,
    *,
    auditor: Auditor,
) -> None:
    record.begin_trial(
        number,
        name=name,
        values=values,
        verdict=to_plain(auditor.verdict(configuration.datasets)),
        settings=to_plain(configuration),
    )


def _check_number(start: Settings, name: str, value: float) -> None:
    """Check that there is such a setting, and that it is no size."""
    before: Any = start
    for part in name.split("."):
        before = getattr(before, part, None)
    if isinstance(before, int):
        raise ValueError(
            f"`{name}` takes whole numbers alone, as sizes that change the shapes of tensors do, "
            "so a population cannot change it while a decoder trains: take another tuner."
        )
    overlay(start, {name: value})


def _check_soft(start: Settings, name: str, value: float) -> None:
    try:
        overlay(start, {name: value})
    except ValueError as error:
        raise ValueError(
            f"`{name}` must not leave its range for ever, as `bounds: soft` lets it ({error}) "
            "Take `bounds: hard`."
        ) from error
