"""Ridge regression, against scikit-learn and values written out."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from calsweep.trainables.ridge import PENALTIES, _Ridge, at_rate, decode, explained


def simulated(*, n_trials=40, lag_bins=0, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    latent = np.cumsum(rng.normal(size=(n_trials, 30, 3)), axis=1)
    weights = rng.normal(size=(3, 25))
    rates = np.roll(latent, lag_bins, axis=1) @ weights
    return rates + noise * rng.normal(size=rates.shape), latent


def test_regression_is_that_of_scikit_learn():
    rates, latent = simulated(n_trials=6)
    fit = _Ridge(rates, latent)
    flat = rates.reshape(-1, 25)
    unit = np.square(flat - flat.mean(axis=0)).sum() / 25
    expected = Ridge(alpha=0.1 * unit).fit(flat, latent.reshape(-1, 3)).predict(flat)
    np.testing.assert_allclose(fit.predict(rates, 0.1).reshape(-1, 3), expected, rtol=1e-8)


def test_latents_are_read_and_each_trial_is_held_out_once():
    rates, latent = simulated()
    decoded = decode(rates, latent)
    assert decoded.r2_FD.shape == (5, 3)
    assert decoded.r2_FD.min() > 0.95
    assert np.isfinite(decoded.predicted_RTD).all()
    np.testing.assert_allclose(
        explained(latent, decoded.predicted_RTD), decoded.r2_FD.mean(axis=0), atol=0.03
    )


def test_lag_is_that_of_rates_behind_the_target():
    rates, latent = simulated(lag_bins=3)
    right, none = (decode(rates, latent, lag_bins=lag).r2_FD.mean() for lag in (3, 0))
    assert right > 0.95
    assert right > none + 0.02
    assert np.isnan(decode(rates, latent, lag_bins=3).predicted_RTD[:, -3:]).all()


def test_noise_explains_nothing():
    """And less than nothing, since what is held out has its own mean."""
    rng = np.random.default_rng(0)
    rates, latent = rng.normal(size=(40, 30, 25)), rng.normal(size=(40, 30, 2))
    decoded = decode(rates, latent)
    assert -0.05 < decoded.r2_FD.mean() <= 0.01
    assert decoded.penalty_F.min() > PENALTIES[0]


def test_bins_that_are_not_known_are_left_out():
    rates, latent = simulated()
    gaps = latent.copy()
    gaps[:, 5:9] = np.nan
    assert decode(rates, gaps).r2_FD.min() > 0.95


def test_share_explained_is_that_written_out():
    target = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, np.nan]])[..., None]
    predicted = np.array([[1.0, 2.0, 4.0], [4.0, 3.0, 0.0]])[..., None]
    assert explained(target, predicted).tolist() == [1 - (1 + 4) / 10]


def test_frames_are_interpolated_to_bins():
    frames = np.array([0.0, 3.0, 9.0]).reshape(1, 3, 1)
    found = at_rate(frames, rate_hz=100 / 3, to_hz=100.0, n_bins=9).ravel()
    np.testing.assert_allclose(found, [0, 1, 2, 3, 5, 7, 9, 9, 9])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lag_bins": 30}, "`0 <= lag_bins < 30`"),
        ({"n_folds": 30}, "two trials a fold must hold"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        decode(*simulated(), **change)


def test_rates_that_are_not_finite_are_refused():
    rates, latent = simulated()
    rates[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="rates must be finite, but 1 are not"):
        decode(rates, latent)
    with pytest.raises(ValueError, match="the same trials and bins"):
        decode(rates[:, :9], latent)
