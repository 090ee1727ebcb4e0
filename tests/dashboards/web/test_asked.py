import threading

from calsweep.dashboards.web.asked import Answer, Asked


def test_who_does_not_answer_is_not_waited_for():
    asked_again, may_answer = threading.Event(), threading.Event()

    def ask():
        may_answer.wait(60)
        asked_again.set()
        return "there"

    slow = Asked(ask, deadline_s=0.01)
    assert slow.look() == Answer(is_waiting=True)
    may_answer.set()
    assert asked_again.wait(60)
    while slow.look().is_waiting:
        pass
    assert slow.look() == Answer(told="there")


def test_refusal_is_told_beside_what_was_known():
    answers = iter(["there", OSError("gone")])

    def ask():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    asked = Asked(ask, deadline_s=60.0, fresh_s=3600.0)
    assert asked.look() == Answer(told="there")
    asked.forget()
    while (found := asked.look()).error is None:
        pass
    assert found.told == "there"
    assert str(found.error) == "gone"
    assert asked.look() == found  # and is not asked anew at once


def test_what_does_not_change_is_asked_for_once():
    answers = iter(["there"])
    asked = Asked(lambda: next(answers), deadline_s=60.0, fresh_s=None)
    assert asked.look() == asked.look() == Answer(told="there")
