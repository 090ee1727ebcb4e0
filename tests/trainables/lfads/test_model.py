"""LFADS as a whole: what it sees, learns from and is penalized for."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

import calsweep
from calsweep.platform.plain import from_plain, to_plain
from calsweep.trainables.lfads.dropout import keep
from calsweep.trainables.lfads.encoder import encode
from calsweep.trainables.lfads.model import Lfads
from calsweep.trainables.lfads.observation import Gaussian, Poisson, ZeroInflatedGamma
from calsweep.trainables.lfads.regularization import Regularization

VARIANTS = sorted((Path(calsweep.__file__).parent / "trainables" / "lfads").glob("*.yaml"))
SMALL = Lfads(
    n_initial_encoder=5,
    n_input_encoder=6,
    n_controller=7,
    n_generator=8,
    n_initial=4,
    n_inferred=2,
    n_factors=5,
)
T, B, N = 11, 6, 7


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def build(config=SMALL, *, n_neurons=(N,), n_external=0, seed=0):
    torch.manual_seed(seed)
    return config.build(n_neurons, n_external=n_external)


def counts(seed=1, n_neurons=N):
    return torch.poisson(torch.ones(T, B, n_neurons), generator=seeded(seed))


def with_gaps(activity):
    gaps = activity.clone()
    gaps[::3, :, : N // 2] = torch.nan
    gaps[1::3, :, N // 2 :] = torch.nan
    return gaps


@pytest.mark.parametrize("path", VARIANTS, ids=lambda path: path.stem)
class TestVariant:
    def test_builds_and_gives_rates(self, path):
        config = from_plain(yaml.safe_load(path.read_text()))
        module = build(config, n_neurons=(30,))
        inference = module(torch.zeros(T, B, 30))
        assert inference.rates_TBN.shape == (T, B, 30)
        assert inference.factors_TBF.shape == (T, B, 100)
        assert inference.inputs_TBU.shape == (T, B, 2)
        assert inference.rates_TBN.isfinite().all()
        # Events have no negative rates; the mean of fluorescence may have either sign.
        if path.stem != "gaussian":
            assert (inference.rates_TBN > 0).all()
        assert from_plain(to_plain(config)) == config

    def test_same_seed_gives_same_weights(self, path):
        config = from_plain(yaml.safe_load(path.read_text()))
        first, second = (build(config, seed=3).state_dict() for _ in range(2))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_gradients_reach_all_parameters(self, path):
        module = build(from_plain(yaml.safe_load(path.read_text())))
        module.regularization = Regularization(kl_initial=0.1, kl_inputs=0.1)
        module.loss(counts(), draws=seeded()).total.backward()
        assert [n for n, p in module.named_parameters() if not p.grad.abs().sum() > 0] == []


def test_every_variant_is_found():
    assert {path.stem for path in VARIANTS} >= {"lfads", "radical"}


class TestSelectiveBackpropagation:
    def test_what_is_not_sampled_is_seen_as_zero(self):
        module, gaps = build(), with_gaps(counts())
        filled = torch.nan_to_num(gaps, nan=0.0)
        for one, other in zip(module(gaps), module(filled), strict=True):
            assert torch.equal(one, other)

    def test_loss_is_the_mean_over_what_was_sampled(self):
        module, gaps = build().eval(), with_gaps(counts())
        losses = module.loss(gaps, draws=seeded())
        with torch.no_grad():
            loss_without_grad = module.loss(gaps, draws=seeded())
        torch.testing.assert_close(losses.nll, loss_without_grad.nll)
        assert losses.nll.isfinite()

    def test_readout_of_a_neuron_never_sampled_has_no_gradient(self):
        module, gaps = build(), counts()
        gaps[:, :, 3] = torch.nan
        module.loss(gaps, draws=seeded()).nll.backward()
        assert module.readouts[0].linear.weight.grad[3].abs().max() == 0
        assert module.readouts[0].linear.weight.grad[2].abs().max() > 0


class TestCoordinatedDropout:
    def test_learns_only_from_what_it_does_not_see(self, monkeypatch):
        module, activity = build(), counts()
        module.regularization = Regularization(coordinated_dropout=0.4)
        seen = []
        passed = module._pass
        monkeypatch.setattr(
            module, "_pass", lambda x, *a, **k: seen.append(x.clone()) or passed(x, *a, **k)
        )
        biased = module.readouts[0].linear.bias
        module.loss(activity + 1, draws=seeded()).nll.backward()
        is_seen = seen[0] != 0
        assert 0.5 < is_seen.float().mean().item() < 0.7
        torch.testing.assert_close(seen[0][is_seen], (activity + 1)[is_seen] / 0.6)
        # The gradient of a bias is the mean of rate - count, over what is learnt from.
        with torch.no_grad():
            module.regularization = Regularization()
        rates = self.rates(module, seen[0])
        expected = torch.where(is_seen, 0, rates - (activity + 1)).sum((0, 1)) / activity.numel()
        torch.testing.assert_close(biased.grad, expected)

    def rates(self, module, seen):
        """Of the same samples: those are drawn after the mask."""
        draws = seeded()
        keep(seen.shape, rate=0.4, generator=draws)
        with torch.no_grad():
            return module(seen, draws=draws).rates_TBN

    def test_value_is_that_of_all_that_was_sampled(self):
        module, activity = build(), torch.zeros(T, B, N)  # zeros are seen as zeros either way
        plain = module.loss(activity, draws=seeded()).nll
        module.regularization = Regularization(coordinated_dropout=0.5)
        draws = seeded()
        state = draws.get_state()
        with torch.no_grad():
            keep(activity.shape, rate=0.5, generator=draws)
            module.regularization = Regularization()
            without = module.loss(activity, draws=draws).nll
            module.regularization = Regularization(coordinated_dropout=0.5)
            draws.set_state(state)
        torch.testing.assert_close(module.loss(activity, draws=draws).nll, without)
        assert plain.isfinite()

    def test_nothing_is_dropped_in_validation(self):
        module = build().eval()
        plain = module.loss(counts(), draws=seeded())
        module.regularization = Regularization(coordinated_dropout=0.5, dropout=0.5)
        torch.testing.assert_close(module.loss(counts(), draws=seeded()).nll, plain.nll)


class TestPenalties:
    def test_total_is_the_sum_of_its_parts(self):
        module = build()
        module.regularization = Regularization(
            kl_initial=0.2, kl_inputs=0.3, l2_generator=2.0, l2_controller=3.0
        )
        losses = module.loss(counts(), draws=seeded(), ramp=0.25)
        expected = losses.nll + 0.25 * (
            losses.l2 + 0.2 * losses.kl_initial + 0.3 * losses.kl_inputs
        )
        torch.testing.assert_close(losses.total, expected)

    def test_l2_is_of_recurrent_weights_by_their_number(self):
        module = build()
        module.regularization = Regularization(
            l2_generator=2.0, l2_controller=3.0, l2_initial_encoder=5.0
        )
        generator, encoder = module.generator, module.initial_encoder
        squares = (
            2.0 * generator.generator_GG.square().sum()
            + 3.0 * generator.controller_GK.square().sum()
            + 5.0 * encoder.onward.weight_GH.square().sum()
            + 5.0 * encoder.backward_in_time.weight_GH.square().sum()
        )
        n_weights = 3 * (8 * 8 + 7 * 7 + 2 * 5 * 5)
        found = module.loss(counts(), draws=seeded()).l2
        torch.testing.assert_close(found, squares / 2 / n_weights)

    def test_gamma_is_drawn_towards_its_prior(self):
        config = replace(SMALL, observation=ZeroInflatedGamma(sig_prior=3.0, sig_penalty=0.5))
        losses = build(config).loss(counts(), draws=seeded())
        assert losses.l2.item() == pytest.approx(0.5 * 0.5 * 2 * N * 4)


class TestRecordings:
    CONFIG = replace(SMALL, n_aligned=4)

    def test_several_share_a_generator(self):
        module = build(self.CONFIG, n_neurons=(N, 3))
        module.loss(counts(n_neurons=3), recording=1, draws=seeded()).total.backward()
        assert module.read_ins[0].weight.grad is None
        assert module.readouts[0].linear.weight.grad is None
        assert module.read_ins[1].weight.grad.abs().sum() > 0
        assert module.generator.generator_GG.grad.abs().sum() > 0
        assert module(counts(n_neurons=3), recording=1).rates_TBN.shape == (T, B, 3)

    def test_several_without_read_ins_are_refused(self):
        with pytest.raises(ValueError, match="there are 2 recordings: several share a generator"):
            build(n_neurons=(N, 3))


def test_external_inputs_drive_the_generator():
    module = build(n_external=3)
    external = torch.zeros(T, B, 3)
    still = module(counts(), external_TBE=external).factors_TBF
    external[5:] = 1.0
    driven = module(counts(), external_TBE=external).factors_TBF
    assert torch.equal(driven[:5], still[:5])
    assert (driven[5:] - still[5:]).abs().amin((1, 2)).min() > 0


def test_controller_does_not_see_the_bin_it_is_in():
    """But for the bins between, both directions together see all."""
    module = build()

    def inputs(x):
        encoders = {"initial": module.initial_encoder, "inputs": module.input_encoder}
        return encode(x, **encoders, lag=1).inputs_TBH

    x = counts()
    changed = x.clone()
    changed[4] += 1
    before, after = inputs(x), inputs(changed)
    differs = (before != after).any(1)  # bin by hidden unit: onward, then backward
    assert differs[:, :6].any(1).tolist() == [False] * 5 + [True] * 6
    assert differs[:, 6:].any(1).tolist() == [True] * 4 + [False] * 7


def test_samples_differ_and_means_do_not():
    module = build()
    first, second = (module(counts(), draws=seeded(s)).rates_TBN for s in (1, 2))
    assert not torch.equal(first, second)
    assert torch.equal(module(counts()).rates_TBN, module(counts()).rates_TBN)


EVERY_OBSERVATION = pytest.mark.parametrize(
    "observation", [Poisson(), ZeroInflatedGamma(), Gaussian()], ids=lambda o: type(o).__name__
)


@EVERY_OBSERVATION
def test_gradient_of_the_whole_loss_is_its_slope(observation):
    """Along a random direction of all parameters, by finite differences."""
    config = replace(SMALL, observation=observation, n_aligned=4)
    module = build(config, n_external=2).double()
    module.regularization = Regularization(
        dropout=0.3,
        l2_generator=0.4,
        l2_controller=0.3,
        l2_initial_encoder=0.2,
        kl_initial=0.1,
        kl_inputs=0.2,
    )
    activity = with_gaps(counts()).double()
    external = torch.randn(T, B, 2, generator=seeded(3), dtype=torch.float64)
    parameters = list(module.parameters())
    direction = [torch.randn(p.shape, generator=seeded(4), dtype=p.dtype) for p in parameters]

    def loss():
        return module.loss(activity, external_TBE=external, draws=seeded(), ramp=0.7).total

    gradients = torch.autograd.grad(loss(), parameters)
    slope = sum((g * d).sum().item() for g, d in zip(gradients, direction, strict=True))
    values = []
    for step in (1e-5, -2e-5):
        with torch.no_grad():
            for parameter, along in zip(parameters, direction, strict=True):
                parameter += step * along
        values.append(loss().item())
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(slope, rel=1e-6)


@EVERY_OBSERVATION
def test_overfits_a_few_trials(observation):
    """Of neurons that are active in one half of a trial or the other."""
    module = build(replace(SMALL, observation=observation))
    activity = torch.zeros(T, 2, N)
    activity[:5, 0] = 2.0
    activity[5:, 1] = 2.0
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02, betas=(0.9, 0.99))
    for step in range(400):
        optimizer.zero_grad()
        module.loss(activity, draws=seeded(step)).total.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 300.0)
        optimizer.step()
    rates = module(activity).rates_TBN
    assert rates[activity > 0].min() > 1.6
    assert rates[activity == 0].max() < 0.3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_factors": 0}, "`n_factors >= 1` must hold, but got 0"),
        ({"clip": 0.5}, "`clip >= 1` must hold"),
        ({"tau_bins": 0.0}, "variances and `tau_bins` must be positive"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **change)


def test_regularization_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="dropouts must be at least 0 and below 1"):
        Regularization(dropout=1.0)
    with pytest.raises(ValueError, match="`kl_inputs >= 0` must hold, but got -1.0"):
        Regularization(kl_inputs=-1.0)
