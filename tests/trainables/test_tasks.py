import math

import pytest
import torch
from torch import nn

from calsweep.trainables.decoder import Problem
from calsweep.trainables.losses import Criterion
from calsweep.trainables.tasks import Activity, FirstComponent, TaskHeads, Tasks, Weighting

PROBLEM = Problem(frame_shape=(3,), window_length=2, class_shares=(0.8, 0.15, 0.05))
PLAIN = Criterion()
# Two windows: logits of three classes, of two sides, activity told and there.
OUTPUTS = torch.tensor(
    [
        [
            [0.0, math.log(2), 0.0, math.log(3), 0.0, 1.5, 1.0],
            [0.0, 0.0, math.log(2), 0.0, math.log(3), 0.0, 2.0],
        ]
    ]
)
LABELS, WEIGHTS = torch.tensor([[1, 0]]), torch.tensor([[1.0, 2.0]])
# By hand, of each task: label 1 has 1/2, label 0 has 1/4; side 1 is 3/4 and it is, 1/2 and it is
# not; side 2 is 1/2 and it is not, 3/4 and it is not; activity is off by 0.5 and 2.
OF_CLASSES = -math.log(1 / 2) - 2 * math.log(1 / 4)
OF_SIDE_1 = -math.log(3 / 4) - 2 * math.log(1 / 2)
OF_SIDE_2 = -math.log(1 / 2) - 2 * math.log(1 / 4)
OF_ACTIVITY = 0.25 + 2 * 4


def heads_of(tasks, *, problem=PROBLEM, n_features=4):
    def head(n_outputs):
        return nn.Sequential(nn.Linear(n_features, n_outputs))

    return TaskHeads(tasks, problem, class_head=head, other_head=head)


class TestLoss:
    def test_of_each_task_by_hand(self):
        losses = Tasks().losses(OUTPUTS, LABELS, WEIGHTS, criterion=PLAIN)
        assert losses.tolist() == pytest.approx([OF_CLASSES, OF_SIDE_1, OF_SIDE_2, OF_ACTIVITY])

    def test_counts_tasks_by_the_weights_of_the_paper(self):
        loss = Tasks().loss(OUTPUTS, LABELS, WEIGHTS, criterion=PLAIN)
        expected = OF_CLASSES + 0.5 * OF_SIDE_1 + 0.5 * OF_SIDE_2 + OF_ACTIVITY
        assert loss.item() == pytest.approx(expected)

    def test_counts_tasks_by_weights_learnt_from_uncertainty(self):
        s = [0.1, -0.2, 0.3, 0.4]
        learnt = torch.tensor(s).expand(1, 2, -1)
        loss = Tasks(weighting=Weighting.LEARNT).loss(
            torch.cat([OUTPUTS, learnt], -1), LABELS, WEIGHTS, criterion=PLAIN
        )
        # exp(-s) of the loss (half for a squared error) + s / 2, that for a weight of 3 in all
        expected = math.exp(-0.1) * OF_CLASSES + math.exp(0.2) * OF_SIDE_1
        expected += math.exp(-0.3) * OF_SIDE_2 + math.exp(-0.4) / 2 * OF_ACTIVITY
        expected += 3 * sum(s) / 2
        assert loss.item() == pytest.approx(expected)

    def test_learnt_weights_begin_at_those_set(self):
        tasks = Tasks(weighting=Weighting.LEARNT)
        s = tasks.initial_log_variances(3)
        learnt = torch.cat([OUTPUTS, s.expand(1, 2, -1)], -1)
        fixed = Tasks().loss(OUTPUTS, LABELS, WEIGHTS, criterion=PLAIN)
        loss = tasks.loss(learnt, LABELS, WEIGHTS, criterion=PLAIN)
        assert loss.item() == pytest.approx(fixed.item() + 3 * s.sum().item() / 2)

    def test_uncertainty_grows_with_the_loss(self):
        """At the best log-variance, ``exp(s)`` is twice the mean loss."""
        s = torch.zeros(1, requires_grad=True)
        tasks = Tasks(side_classes=(), activity=Activity.NONE, weighting=Weighting.LEARNT)
        optimizer = torch.optim.SGD([s], lr=0.3)
        for _ in range(100):
            optimizer.zero_grad()
            outputs = torch.cat([OUTPUTS[..., :3], s.expand(1, 2, 1)], -1)
            tasks.loss(outputs, LABELS, WEIGHTS, criterion=PLAIN).backward()
            optimizer.step()
        assert s.exp().item() == pytest.approx(2 * OF_CLASSES / 3, rel=1e-4)

    def test_criterion_holds_for_all_heads_of_classes(self):
        focal = Criterion(focal_alpha=2.0, focal_gamma=2.0)
        losses = Tasks().losses(OUTPUTS, LABELS, WEIGHTS, criterion=focal)
        of_side_1 = -2 * (1 / 4) ** 2 * math.log(3 / 4) - 2 * 2 * (1 / 2) ** 2 * math.log(1 / 2)
        assert losses[1].item() == pytest.approx(of_side_1)
        smooth = Criterion(label_smoothing=0.2)
        losses = Tasks().losses(OUTPUTS, LABELS, WEIGHTS, criterion=smooth)
        of_side_1 = -0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4) - 2 * math.log(1 / 2)
        assert losses[1].item() == pytest.approx(of_side_1)

    def test_a_window_counts_by_the_weight_of_its_class_in_every_head(self):
        weighted = Criterion(class_weights=(0.5, 3.0, 9.0))
        losses = Tasks().losses(OUTPUTS, LABELS, WEIGHTS, criterion=weighted)
        expected = [
            -3 * math.log(1 / 2) - 0.5 * 2 * math.log(1 / 4),
            -3 * math.log(3 / 4) - 0.5 * 2 * math.log(1 / 2),
            -3 * math.log(1 / 2) - 0.5 * 2 * math.log(1 / 4),
            OF_ACTIVITY,
        ]
        assert losses.tolist() == pytest.approx(expected)

    @pytest.mark.parametrize("n_classes", [2, 3])
    def test_gradient_of_the_focal_loss_reaches_every_logit(self, n_classes):
        tasks = Tasks(activity=Activity.NONE)
        outputs = torch.zeros(1, 2, tasks.n_outputs(n_classes), requires_grad=True)
        tasks.loss(outputs, LABELS, WEIGHTS, criterion=Criterion(focal_gamma=2.0)).backward()
        assert (outputs.grad.abs() > 0).all()


class TestOutputs:
    def test_two_classes_have_one_side(self):
        assert Tasks().sides(2) == (1,)
        assert Tasks().n_outputs(2) == 1 + 1 + 2

    @pytest.mark.parametrize(
        ("tasks", "n_outputs"),
        [
            (Tasks(), 3 + 2 + 2),
            (Tasks(side_classes=()), 3 + 2),
            (Tasks(side_classes=(2,)), 3 + 1 + 2),
            (Tasks(activity=Activity.NONE), 3 + 2),
            (Tasks(activity=Activity.COMPONENT), 3 + 2 + 2),
            (Tasks(weighting=Weighting.LEARNT), 3 + 2 + 2 + 4),
            (Tasks(side_classes=(), activity=Activity.NONE), 3),
        ],
    )
    def test_each_head_can_be_left_out(self, tasks, n_outputs):
        heads = heads_of(tasks)
        outputs = heads(torch.randn(2 * 4, 4), torch.randn(2, 5, 3))
        assert outputs.shape == (2, 4, n_outputs)
        assert tasks.probability(outputs).shape == (2, 4, 3)

    def test_are_told_apart_for_any_number_of_classes(self):
        for tasks in (Tasks(), Tasks(side_classes=(1,), weighting=Weighting.LEARNT)):
            for n_classes in range(2, 8):
                told = tasks.split(torch.zeros(1, 1, tasks.n_outputs(n_classes)))
                n_logits = 1 if n_classes == 2 else n_classes
                assert told.class_logits_RKO.shape[-1] == n_logits
                assert told.side_logits_RKS.shape[-1] == len(tasks.sides(n_classes))

    def test_biases_begin_at_the_shares_of_classes(self):
        heads = heads_of(Tasks())
        heads.begin_at(PROBLEM)
        outputs = heads(torch.zeros(4, 4), torch.randn(1, 5, 3))
        told = Tasks().split(outputs)
        torch.testing.assert_close(
            Tasks().probability(outputs)[0, 0], torch.tensor(PROBLEM.class_shares)
        )
        sides = told.side_logits_RKS[0, 0].sigmoid()
        torch.testing.assert_close(sides, torch.tensor([0.15, 0.05]))

    def test_sides_tell_their_class_from_the_rest(self):
        told = Tasks().side_probability(OUTPUTS)
        assert list(told) == [1, 2]
        assert told[1][0].tolist() == pytest.approx([3 / 4, 1 / 2])
        assert told[2][0].tolist() == pytest.approx([1 / 2, 3 / 4])
        assert list(
            Tasks(side_classes=(2,)).side_probability(OUTPUTS[..., [0, 1, 2, 4, 5, 6]])
        ) == [2]
        assert Tasks(side_classes=()).side_probability(OUTPUTS[..., [0, 1, 2, 5, 6]]) == {}

    def test_side_of_no_class_is_refused(self):
        with pytest.raises(ValueError, match="among the 3 classes from 0"):
            heads_of(Tasks(side_classes=(3,)))

    @pytest.mark.parametrize("name", ["class_weight", "side_weight", "activity_weight"])
    def test_weight_of_zero_is_refused(self, name):
        with pytest.raises(ValueError, match=rf"`{name} > 0` must hold, but got 0.0"):
            Tasks(**{name: 0.0})


class TestActivity:
    def test_mean_is_that_of_the_last_frame(self):
        frames = torch.arange(12.0).view(1, 4, 3)
        outputs = heads_of(Tasks())(torch.zeros(3, 4), frames)
        assert Tasks().split(outputs).activity_RKA[0, :, 1].tolist() == [4.0, 7.0, 10.0]

    def test_component_turns_to_the_largest_variance(self):
        generator = torch.Generator().manual_seed(0)
        direction = torch.nn.functional.normalize(torch.tensor([3.0, -1.0, 2.0, 0.5]), dim=0)
        component = FirstComponent(4).train()
        for _ in range(200):
            along = 3 * torch.randn(8, 16, 1, generator=generator)
            noise = torch.randn(8, 16, 4, generator=generator)
            component(5 + along * direction + noise, 4)
        assert (component.direction_N @ direction).item() > 0.98
        assert component.direction_N.norm().item() == pytest.approx(1, abs=1e-5)
        torch.testing.assert_close(component.mean_N, torch.full((4,), 5.0), atol=0.6, rtol=0)

    def test_component_stays_in_evaluation_and_without_activity(self):
        component = FirstComponent(4).eval()
        component(torch.randn(2, 8, 4), 3)
        component.train()(torch.zeros(2, 8, 4), 3)
        torch.testing.assert_close(component.direction_N, torch.full((4,), 0.5))
        assert component.mean_N.tolist() == [0.0] * 4

    def test_component_is_the_projection_of_the_last_frame(self):
        component = FirstComponent(2).eval()
        component.direction_N.copy_(torch.tensor([0.6, 0.8]))
        component.mean_N.copy_(torch.tensor([1.0, 2.0]))
        frames = torch.tensor([[[9.0, 9.0], [2.0, 2.0], [1.0, 3.0]]])
        assert component(frames, 2)[0].tolist() == pytest.approx([0.6, 0.8])

    def test_what_was_there_has_no_gradient(self):
        frames = torch.randn(2, 5, 3, requires_grad=True)
        outputs = heads_of(Tasks())(torch.zeros(8, 4), frames)
        assert torch.autograd.grad(outputs.sum(), frames, allow_unused=True) == (None,)
