"""LFADS stacked: to rounding what each member comes to alone, over epochs and an exploit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from calsweep.datasets.lorenz import Lorenz
from calsweep.datasets.trial_view import view_trials
from calsweep.platform.dynamics.lfads_learner import LfadsLearners, LfadsTraining
from calsweep.platform.dynamics.lfads_stack import LfadsStack
from calsweep.trainables.lfads.model import Lfads
from calsweep.trainables.lfads.observation import Gaussian, Poisson, ZeroInflatedGamma
from calsweep.trainables.lfads.regularization import Regularization

SIZES = {
    "n_initial_encoder": 6,
    "n_input_encoder": 5,
    "n_controller": 4,
    "n_generator": 9,
    "n_initial": 6,
    "n_factors": 8,
}
# The second keeps all it sees; the third begins with no dropout and no penalty of one kind.
VALUES = [
    {"learning_rate": 1e-2, "dropout": 0.1, "coordinated_dropout": 0.3, "l2_generator": 0.1},
    {"learning_rate": 2e-3, "dropout": 0.4, "coordinated_dropout": 0.0, "kl_initial": 1e-2},
    {"learning_rate": 5e-3, "dropout": 0.0, "coordinated_dropout": 0.6, "kl_inputs": 1e-2},
    {"learning_rate": 1e-3, "dropout": 0.2, "coordinated_dropout": 0.5, "l2_controller": 0.3},
]
OBSERVATIONS = pytest.mark.parametrize(
    "observation", [Poisson(), ZeroInflatedGamma(), Gaussian()], ids=["poisson", "gamma", "gauss"]
)


@pytest.fixture(scope="module")
def lorenz():
    [recording] = Lorenz(n_conditions=2, trials_per_condition=7, n_neurons=66).recordings()
    view = view_trials(recording, condition="condition", measures=("x", "z"))
    measures = {name: values[:, :25] for name, values in view.measures.items()}
    return replace(view, activity_RTN=view.activity_RTN[:, :25], measures=measures)


def learners(view, observation, *, external=()):
    config = Lfads(observation=observation, **SIZES)
    return LfadsLearners(
        config=config,
        # Eleven trials in batches of four: the last is shorter, at another step for each member.
        training=LfadsTraining(
            batch_size=4,
            ramp_epochs=3,
            external=external,
            regularization=Regularization(l2_initial_encoder=0.2),
        ),
        views=(view.counts() if isinstance(observation, Poisson) else view,),
    )


def members(made, *, values=VALUES):
    """In double precision, in which what rounding makes of Adam's first steps is small too."""
    first = made.build(seed=1)
    first.given = replace(
        first.given,
        activity=tuple(x.double() for x in first.given.activity),
        external=tuple(None if x is None else x.double() for x in first.given.external),
    )
    whole = [first, *(made.build(seed=seed, beside=first) for seed in range(2, len(values) + 1))]
    for one, own in zip(whole, values, strict=True):
        one.module.double()
        one.change(own)
    return whole


def assert_same(ones, others):
    for one, other in zip(ones, others, strict=True):
        for (name, p), q in zip(
            one.module.named_parameters(), other.module.parameters(), strict=True
        ):
            torch.testing.assert_close(
                p, q, rtol=1e-8, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}"
            )
            if one.n_epochs:
                mine, its = one.optimizer.state[p], other.optimizer.state[q]
                assert mine["step"] == its["step"]
                torch.testing.assert_close(mine["exp_avg"], its["exp_avg"], rtol=1e-6, atol=1e-6)
        assert one.values() == other.values()
        assert one.n_epochs == other.n_epochs


@OBSERVATIONS
def test_stack_trains_as_members_alone_do_across_an_exploit(lorenz, observation):
    made = learners(lorenz, observation)
    alone, stacked = members(made), members(made)
    stack = LfadsStack(stacked)
    scores = []
    for generation in range(2):
        for one in alone:
            one.train(2)
        stack.train(2)
        scores.append(stack.validate())
        assert scores[-1] == pytest.approx([one.validate() for one in alone], rel=1e-8)
        assert_same(alone, stacked)
        if generation == 0:  # the fourth goes on from the first, with other values
            for whole in (alone, stacked):
                whole[3].load_state(whole[0].state())
                whole[3].change({"learning_rate": 3e-3, "dropout": 0.3})
    assert len(set(scores[1])) == 4


def test_members_are_their_own(lorenz):
    made = learners(lorenz, Poisson())
    alike = [VALUES[0]] * 3
    stacked = members(made, values=alike)
    LfadsStack(stacked).train(1)
    weights = [one.module.generator.generator_GG for one in stacked]
    assert not torch.equal(weights[0], weights[1])


def test_external_inputs_drive_the_stack(lorenz):
    made = learners(lorenz, Poisson(), external=("x", "z"))
    alone, stacked = members(made), members(made)
    for one in alone:
        one.train(1)
    LfadsStack(stacked).train(1)
    assert_same(alone, stacked)


def test_several_recordings_are_not_stacked(lorenz):
    """At a step of one recording Adam leaves the read-in of the other; in a stack it moves it."""
    made = learners(lorenz, Poisson())
    both = replace(made, views=(*made.views, replace(made.views[0], recording="other")))
    with pytest.raises(ValueError, match="several recordings take turns"):
        LfadsStack(members(replace(both, config=replace(made.config, n_aligned=5))))


def test_member_that_diverges_leaves_the_others_alone(lorenz):
    made = learners(lorenz, Poisson())
    alone, stacked = members(made), members(made)
    with torch.no_grad():
        stacked[1].module.generator.factors_FG.fill_(torch.nan)
    stack = LfadsStack(stacked)
    stack.train(1)
    for one in alone:
        one.train(1)
    assert [np.isnan(score) for score in stack.validate()] == [False, True, False, False]
    kept = [0, 2, 3]
    assert_same([alone[m] for m in kept], [stacked[m] for m in kept])


def test_members_of_other_trials_are_refused(lorenz):
    made = learners(lorenz, Poisson())
    with pytest.raises(ValueError, match="must have the same model and share their trials"):
        LfadsStack([made.build(seed=1), made.build(seed=2)])
