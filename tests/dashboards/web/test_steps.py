from calsweep.dashboards.web.choice import Choice
from calsweep.dashboards.web.steps import spans, stretch_of, turns


def test_stretch_stays_within_the_recording():
    between = {"first": 0, "last": 899, "rate_hz": 30.0}
    assert stretch_of(Choice(), **between) == (0, 899)  # a minute is more than there is
    assert stretch_of(Choice(at=700, span=300), **between) == (600, 899)
    assert stretch_of(Choice(at=10, span=1), **between) == (10, 11)


def test_earlier_and_later_go_by_half_of_what_is_shown():
    chosen = Choice(recording="m1")
    assert turns(chosen, (300, 599), last=899) == [
        ("Beginning", "first", "recording=m1&span=300"),
        ("Earlier", "prev", "recording=m1&at=150&span=300"),
        ("Later", "next", "recording=m1&at=450&span=300"),
        ("End", "last", "recording=m1&at=600&span=300"),
    ]
    assert spans(chosen, (300, 599), first=0, last=899, rate_hz=30.0) == [
        ("0:10 min", "recording=m1&at=300&span=300", True),
        ("all", "recording=m1&span=900", False),
    ]


def test_all_is_marked_though_windows_begin_after_the_first_frame():
    *_, (title, _, is_now) = spans(Choice(), (2, 897), first=2, last=897, rate_hz=30.0)
    assert (title, is_now) == ("all", True)
