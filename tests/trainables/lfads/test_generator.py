"""Controller and generator: their equations in NumPy, and their backward against torch's own."""

import numpy as np
import pytest
import torch

from calsweep.trainables.lfads.generator import Draws, Generator, Weights
from tests.trainables.lfads.plain import plain_loop

T, B, C, E, U, G, K, F = 5, 3, 4, 2, 2, 6, 3, 5
N_INITIAL = 4
EVERY_DRAW = pytest.mark.parametrize("drawn", [True, False], ids=["drawn", "means"])


def generator(*, n_external=E):
    """In float64, with some first steps that leave the bounds."""
    torch.manual_seed(0)
    module = Generator(
        n_encoded=C,
        n_external=n_external,
        n_initial=N_INITIAL,
        n_generator=G,
        n_controller=K,
        n_factors=F,
        n_inferred=U,
        clip=1.2,
    ).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
        module.initial.weight.mul_(4)
    return module


def given(*, drawn, n_external=E):
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def mask(*shape):
        return (torch.rand(shape, generator=generator) < 0.7).double() / 0.7

    draws = Draws()
    if drawn:
        draws = Draws(
            inputs_TBU=normal(T, B, U), factors_TBF=mask(T, B, F), states_TBG=mask(T + 1, B, G)
        )
    return (normal(B, N_INITIAL), normal(T, B, C), normal(T, B, n_external)), draws


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_step(x, h, weight_x, weight_h, bias, *, clip):
    (w_r, w_z, w_n), (u_r, u_z, u_n) = np.split(weight_x, 3), np.split(weight_h, 3)
    b_r, b_z, b_n = np.split(bias, 3)
    r = sigmoid(w_r @ x + u_r @ h + b_r)
    z = sigmoid(w_z @ x + u_z @ h + b_z)
    n = np.tanh(w_n @ x + u_n @ (r * h) + b_n)
    return np.clip(z * h + (1 - z) * n, -clip, clip)


def course_in_numpy(module, initial, encoded, external, draws):
    """Of one trial, by the published equations."""
    w = {name: p.detach().numpy() for name, p in module.named_parameters()}
    to_factors = w["factors_FG"] / np.linalg.norm(w["factors_FG"], axis=1, keepdims=True)
    g = w["initial.weight"] @ initial + w["initial.bias"]
    k = w["controller_first_K"]
    f = to_factors @ (g * draws["states"][0])
    factors, inputs = [], []
    for t in range(T):
        seen = np.concatenate([encoded[t], f * draws["factors"][t]])
        k = gru_step(
            seen,
            k,
            w["controller_GX"],
            w["controller_GK"],
            w["controller_bias_G"],
            clip=1.2,
        )
        p = w["inferred.weight"] @ k + w["inferred.bias"]
        u = p[:U] + np.sqrt(np.exp(p[U:])) * draws["inputs"][t]
        g = gru_step(
            np.concatenate([external[t], u]),
            g,
            w["generator_GX"],
            w["generator_GG"],
            w["generator_bias_G"],
            clip=1.2,
        )
        f = to_factors @ (g * draws["states"][t + 1])
        factors.append(f)
        inputs.append(p)
    return np.stack(factors), np.stack(inputs)


@EVERY_DRAW
def test_course_is_that_of_the_equations(drawn):
    module = generator()
    tensors, draws = given(drawn=drawn)
    course = module(*tensors, draws)
    initial, encoded, external = (x.numpy() for x in tensors)
    for b in range(B):
        of_trial = {
            "inputs": draws.inputs_TBU[:, b].numpy() if drawn else np.zeros((T, U)),
            "factors": draws.factors_TBF[:, b].numpy() if drawn else np.ones((T, F)),
            "states": draws.states_TBG[:, b].numpy() if drawn else np.ones((T + 1, G)),
        }
        factors, inputs = course_in_numpy(
            module, initial[b], encoded[:, b], external[:, b], of_trial
        )
        np.testing.assert_allclose(course.factors_TBF[:, b].detach(), factors, rtol=1e-11)
        np.testing.assert_allclose(course.inputs_TBP[:, b].detach(), inputs, rtol=1e-11)


@EVERY_DRAW
@pytest.mark.parametrize("n_external", [0, E])
def test_gradients_are_those_of_torch(drawn, n_external):
    module = generator(n_external=n_external)
    tensors, draws = given(drawn=drawn, n_external=n_external)
    tensors = [x.requires_grad_() for x in tensors]
    weigh = [torch.randn(T, B, n, dtype=torch.float64) for n in (F, 2 * U)]
    wanted = [*tensors, *module.parameters()]

    def gradients(course):
        loss = sum((part * weight).sum() for part, weight in zip(course, weigh, strict=True))
        return torch.autograd.grad(loss, wanted, allow_unused=True)

    ours = gradients(module(*tensors, draws))
    weights = Weights(
        module.controller_GX,
        module.controller_GK,
        module.controller_bias_G,
        module.controller_first_K,
        module.inferred.weight,
        module.inferred.bias,
        module.generator_GX,
        module.generator_GG,
        module.generator_bias_G,
        torch.nn.functional.normalize(module.factors_FG, dim=1),
    )
    initial, *others = tensors
    plain = plain_loop(module.initial(initial), *others, weights, draws=draws, clip=1.2)
    for one, other in zip(ours, gradients(plain), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


def test_weights_begin_as_published():
    torch.manual_seed(0)
    module = Generator(
        n_encoded=128,
        n_external=0,
        n_initial=64,
        n_generator=100,
        n_controller=64,
        n_factors=100,
        n_inferred=2,
        clip=5.0,
    )
    assert module.controller_bias_G.tolist() == [1.0] * 128 + [0.0] * 64
    assert module.generator_bias_G.tolist() == [1.0] * 200 + [0.0] * 100
    assert module.inferred.bias.tolist() == [0.0] * 4
    spreads = {
        "controller_GX": 228**-0.5,
        "controller_GK": 64**-0.5,
        "generator_GX": 2**-0.5,
        "generator_GG": 100**-0.5,
        "factors_FG": 100**-0.5,
        "initial.weight": 64**-0.5,
    }
    weights = dict(module.named_parameters())
    for name, spread in spreads.items():
        assert weights[name].std().item() == pytest.approx(spread, rel=0.06), name
