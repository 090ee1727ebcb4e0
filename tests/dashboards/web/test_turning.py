"""A choice changes the page in place: what is there stays, and a choice can be undone."""

from tests.dashboards.web.served import serving


def begun(here, path):
    """Open a page whose script can be told from that of a page that came anew."""
    here.open(path)
    here.page.evaluate("window.isSamePage = true")
    return here


def is_same_page(here):
    return here.page.evaluate("window.isSamePage === true")


def focused(here):
    return here.page.evaluate("document.activeElement.textContent.trim()")


def test_filter_and_way_back_leave_scripts_and_figures_where_they_are(address, reader):
    here = begun(reader(address), "/sweeps/tiny")
    here.draw_all()
    here.page.evaluate("document.getElementById('history').isSameFigure = true")
    asked = []
    here.page.on("request", lambda request: asked.append(request.url.removeprefix(here.address)))
    here.page.get_by_label("Name or setting").fill("gru")
    here.page.get_by_role("button", name="Show").press("Enter")
    here.page.wait_for_url("**text=gru**")
    here.draw_all()
    assert is_same_page(here)
    assert here.page.evaluate("document.getElementById('history').isSameFigure")
    assert focused(here) == "Show"  # the keyboard goes on where it was
    assert here.page.locator("#board tbody tr").count() == 1
    download = here.page.get_by_role("link", name="Download as CSV").get_attribute("href")
    assert "text=gru" in download
    assert asked[0] == "/sweeps/tiny?text=gru&decoder=&state="
    assert len(asked) == len(set(asked))  # each figure once, and no script again
    here.page.go_back()
    here.wait_until(lambda: here.page.locator("#board tbody tr").count() == 3, "all of them")
    assert here.page.get_by_label("Name or setting").input_value() == ""
    here.page.go_forward()
    here.wait_until(lambda: here.page.locator("#board tbody tr").count() == 1, "the one")
    assert here.page.get_by_label("Name or setting").input_value() == "gru"
    assert is_same_page(here)
    assert (here.said, here.outside) == ([], [])


def test_next_page_of_a_list_begins_at_its_top_and_asks_for_no_figure(reader, writer):
    written = writer()
    written.begin()
    written.trial(0)
    for number in range(3, 60):
        written.trial(number, n_folds=0, error="ValueError: no such cell")
    with serving(written.home) as address:
        here = begun(reader(address), "/sweeps/tiny")
        here.draw_all()
        asked = []
        here.page.on("request", lambda request: asked.append(request))
        here.page.get_by_role("link", name="Next").press("Enter")
        here.page.wait_for_url("**page=2")
        here.wait_until(
            lambda: abs(here.page.locator("#leaderboard").bounding_box()["y"]) < 2, "its top"
        )
        assert is_same_page(here)
        assert focused(here) == "Next"
        here.page.keyboard.press("Enter")
        here.page.wait_for_url("**page=3")
        assert here.page.get_by_text("page 3 of 3").count() == 1
        turned = [r.url for r in asked if "x-seen" not in r.headers]  # those are of the live page
        assert turned == [f"{address}/sweeps/tiny?page={page}" for page in (2, 3)]
        assert here.said == []


def test_choice_that_changes_what_stands_on_a_page_brings_it_anew(address, reader):
    here = begun(reader(address), "/sweeps/tiny/folds?trial=none")
    assert here.page.locator("#matrix").count() == 0
    here.page.get_by_label("Configuration").select_option("trial 2")
    here.page.get_by_role("button", name="Show").click()
    here.page.wait_for_selector("#matrix")
    assert not is_same_page(here)
    assert here.page.get_by_label("Configuration").input_value() == "trial 2"
    assert (here.said, here.outside) == ([], [])


def test_links_elsewhere_and_within_the_page_are_the_browsers_own(address, reader):
    here = begun(reader(address), "/sweeps/tiny")
    here.page.keyboard.press("Tab")
    assert focused(here) == "Skip to the content"
    here.page.keyboard.press("Enter")
    here.page.wait_for_url("**#main")
    assert is_same_page(here)
    with here.page.context.expect_page() as another:
        here.page.locator("#board").get_by_role("link", name="trial 2").click(modifiers=["Control"])
    assert another.value.url.endswith("/folds?trial=trial%202")
    here.page.get_by_role("link", name="trial 1").click()
    here.page.wait_for_selector("#matrix")
    assert not is_same_page(here)
    assert (here.said, here.outside) == ([], [])


def test_choice_without_a_server_is_told_and_the_page_stays(reader, finished_home):
    with serving(finished_home) as address:
        here = begun(reader(address), "/sweeps/tiny")
        here.draw_all()
    here.page.get_by_label("Name or setting").fill("gru")
    here.page.get_by_role("button", name="Show").click()
    here.page.wait_for_selector("#lost:visible")
    assert here.page.locator("#board tbody tr").count() == 3
    assert here.page.locator("main").get_attribute("aria-busy") is None
    assert here.page.url == f"{address}/sweeps/tiny"


def test_figure_in_sight_is_drawn_while_a_hand_moves_and_the_rest_once_it_rests(address, reader):
    here = reader(address)
    here.open("/sweeps/tiny/folds")
    side = iter(range(10_000))

    def is_drawn():
        here.page.mouse.move(5 + next(side) % 50, 5)
        return here.page.locator('#matrix[data-state="settled"]').count() == 1

    here.wait_until(is_drawn, "the figure in sight")
    assert here.drawn()[0] == "matrix"
    here.page.evaluate("scrollTo(0, 0)")
    here.wait_until(lambda: "groups" in here.drawn(), "the one below, without a scroll to it")
