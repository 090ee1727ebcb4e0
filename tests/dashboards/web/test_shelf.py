import threading
from concurrent.futures import ThreadPoolExecutor

from calsweep.dashboards.web.shelf import Shelf


def test_what_is_held_goes_on_while_the_record_grows(writer):
    written = writer()
    written.begin()
    shelf = Shelf(written.home)
    first = shelf.read("tiny")
    first.keep("figure", lambda: "of no trial")
    check = first.hold("check", lambda: ["begun"])
    written.trial(0)
    grown = shelf.read("tiny")
    assert grown.keep("figure", lambda: "of one trial") == "of one trial"
    assert grown.hold("check", lambda: ["anew"]) is check


def test_what_waits_holds_up_no_other_and_is_made_once(writer):
    written = writer()
    written.begin()
    reading = Shelf(written.home).read("tiny")
    begun, goes_on = threading.Event(), threading.Event()
    made = []

    def slow():
        begun.set()
        assert goes_on.wait(60)
        made.append("slow")
        return "slow"

    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(reading.keep, "slow", slow) for _ in range(2)]
        assert begun.wait(60)
        assert reading.keep("quick", lambda: "quick") == "quick"
        goes_on.set()
        assert [answer.result(60) for answer in answers] == ["slow", "slow"]
    assert made == ["slow"]
