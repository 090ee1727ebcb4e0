"""A member of a population that several devices train, in a group of Ray Train's workers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from calsweep.datasets.cache import beside
from calsweep.platform.population.learner import SpreadLearners
from calsweep.platform.population.member import MemberTask, Outcome, train_member
from calsweep.platform.resources import Resources
from calsweep.platform.trial import cause_of, in_group

if TYPE_CHECKING:
    from torch import nn

    from calsweep.platform.fold.feed import Shares


def train_spread(how: tuple[SpreadLearners, Resources], task: MemberTask, /) -> Outcome:
    """Take a member through a generation in several processes, each with a device of its own.

    Parameters
    ----------
    how
        What builds members, and how many processes train each.
    task
        The member.
    """
    learners, resources = how
    left = task.place.with_name(f".{task.place.name}.outcome")
    left.unlink(missing_ok=True)
    try:
        in_group(partial(_train, learners, task, left), resources=resources)
    except Exception as error:
        cause = cause_of(error)
        if not isinstance(cause, (ValueError, ArithmeticError)):
            raise  # it may pass
        return Outcome(score=math.nan, attempt=1, error=f"{type(cause).__name__}: {cause}")
    plain = json.loads(left.read_text())
    left.unlink()
    score = math.nan if plain["score"] is None else plain["score"]
    return Outcome(**{**plain, "score": score})


def _train(
    learners: SpreadLearners,
    task: MemberTask,
    left: Path,
    shares: Shares,
    wrap: Callable[[nn.Module], nn.Module],
) -> None:
    """Train in one process of the group; the first writes, and leaves what came of it."""
    outcome = train_member(learners.spread(shares, wrap), task, rank=shares.rank)
    if shares.rank == 0:
        score = outcome.score if math.isfinite(outcome.score) else None
        with beside(left) as file:
            file.write_text(json.dumps({**asdict(outcome), "score": score}))
