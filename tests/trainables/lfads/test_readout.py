"""The likelihood found some bins at a time, against torch's own; what has no gradient."""

import pytest
import torch

from calsweep.trainables.lfads.observation import Gaussian, Poisson, ZeroInflatedGamma
from calsweep.trainables.lfads.readout import Readout, Target

T, B, N, F = 19, 4, 6, 5  # more bins than are taken at once, and not a multiple
OBSERVATIONS = [Poisson(), ZeroInflatedGamma(), Gaussian()]
EVERY_OBSERVATION = pytest.mark.parametrize(
    "observation", OBSERVATIONS, ids=lambda o: type(o).__name__
)


def readout(observation):
    torch.manual_seed(0)
    return Readout(F, N, observation.n_parameters, observation.build(N)).double()


def target(*, sampled=True, learnt=True):
    generator = torch.Generator().manual_seed(1)

    def drawn(share):
        return torch.rand(T, B, N, generator=generator) < share

    activity = torch.where(drawn(0.3), torch.randint(1, 4, (T, B, N), generator=generator), 0)
    return Target(
        activity.double(), drawn(0.6) if sampled else None, drawn(0.5) if learnt else None
    )


def factors():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(T, B, F, generator=generator, dtype=torch.float64)


@EVERY_OBSERVATION
@pytest.mark.parametrize("sampled", [True, False], ids=["some sampled", "all sampled"])
@pytest.mark.parametrize("learnt", [True, False], ids=["some learnt", "all learnt"])
def test_likelihood_and_gradients_are_those_of_torch(observation, sampled, learnt):
    module, f, wanted = (
        readout(observation),
        factors().requires_grad_(),
        target(sampled=sampled, learnt=learnt),
    )
    ours, plain = module.nll(f, wanted), module._nll(f, wanted)
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=0)
    inputs = [f, *module.parameters()]
    for one, other in zip(
        torch.autograd.grad(3 * ours, inputs), torch.autograd.grad(3 * plain, inputs), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@EVERY_OBSERVATION
def test_what_is_not_sampled_has_no_part_and_no_gradient(observation):
    module, wanted = readout(observation), target(learnt=False)
    is_sampled = torch.ones(T, B, N, dtype=torch.bool)
    is_sampled[3:5] = False  # no neuron at all
    is_sampled[:, :, 2] = False
    changed = wanted.activity_TBN.clone()
    changed[~is_sampled] = 7.0
    gradients = []
    values = []
    for activity in (wanted.activity_TBN, changed):
        f = factors().requires_grad_()
        value = module.nll(f, Target(activity, is_sampled))
        value.backward()
        gradients.append(f.grad)
        values.append(value.item())
    assert values[0] == values[1]
    assert torch.equal(*gradients)
    assert gradients[0][3:5].abs().max() == 0
    weight_grad = module.linear.weight.grad.view(-1, N, F)
    assert weight_grad[:, 2].abs().max() == 0
    assert weight_grad[:, 1].abs().min() > 0


def test_mean_is_over_sampled_values():
    module = readout(Poisson())
    with torch.no_grad():
        module.linear.weight.zero_()
        module.linear.bias.zero_()
    activity = torch.zeros(T, B, N, dtype=torch.float64)
    is_sampled = torch.zeros(T, B, N, dtype=torch.bool)
    is_sampled[0, 0, :3] = True
    assert module.nll(factors(), Target(activity, is_sampled)).item() == 1.0  # exp(0) - 0 each


@EVERY_OBSERVATION
def test_begins_with_what_neurons_do_on_average(observation):
    one = readout(observation)
    activity = target().activity_TBN
    one.begin(activity.flatten(0, 1))
    still = torch.zeros(1, F, dtype=torch.float64)
    mean = activity.mean(dim=(0, 1))
    if isinstance(observation, ZeroInflatedGamma):  # of events within its range
        one.begin(0.3 * (activity > 0).flatten(0, 1).double())
        mean = 0.3 * (activity > 0).double().mean(dim=(0, 1))
    assert one(still)[0].tolist() == pytest.approx(mean.tolist(), abs=0.02)
