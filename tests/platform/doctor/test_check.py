"""Checks run side by side, each within its deadline, and tell what they find in their order."""

import threading

from calsweep.platform.doctor.check import Check, Finding, Remark, Standing, run_checks


def test_checks_run_side_by_side():
    both = threading.Barrier(2, timeout=10)

    def look():
        both.wait()  # never, if one waited for the other's end
        return "there"

    found = list(run_checks([Check(name="a", look=look), Check(name="b", look=look)]))
    assert [(finding.name, finding.standing) for finding in found] == [
        ("a", Standing.OK),
        ("b", Standing.OK),
    ]


def test_look_that_does_not_come_back_is_given_up():
    for_ever = threading.Event()

    def hang():
        for_ever.wait(30)
        return "late"

    checks = [Check(name="slow", look=hang, deadline_s=0.1), Check(name="quick", look=str)]
    found = list(run_checks(checks))
    for_ever.set()
    assert found == [
        Finding(
            name="slow",
            standing=Standing.PROBLEM,
            text="no answer within 0.1 s: is what it asks up and reachable?",
        ),
        Finding(name="quick", standing=Standing.OK, text=""),
    ]


def test_what_a_look_raises_is_what_is_told():
    def remark():
        raise Remark("no GPU:\n  well")

    def fail():
        raise OSError("the disk is gone")

    found = list(run_checks([Check(name="a", look=remark), Check(name="b", look=fail)]))
    assert [(finding.standing.value, finding.text) for finding in found] == [
        ("note", "no GPU: well"),
        ("PROBLEM", "the disk is gone"),
    ]
