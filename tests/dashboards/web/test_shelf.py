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
