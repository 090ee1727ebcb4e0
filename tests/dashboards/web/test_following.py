"""What stands on a page grows with a running sweep; what a reader is doing there stays."""

import pytest

from tests.dashboards.web.served import serving


@pytest.fixture
def written(writer):
    """Give a sweep under way, of which the best is still to come."""
    running = writer()
    running.begin()
    running.trial(0)
    running.trial(2)
    return running


def offered(here, label):
    options = here.page.get_by_label(label).locator("option")
    return [text.split(" – ")[0] for text in options.all_inner_texts()]


def test_lists_offer_what_has_come_and_what_nobody_chose_follows_the_best(reader, written):
    with serving(written.home) as address:
        watched, used, compared = reader(address), reader(address), reader(address)
        for here in (watched, used):
            here.open("/sweeps/tiny/folds")
            here.draw_all()
        compared.open("/sweeps/tiny/compare")
        used.page.get_by_label("Configuration").select_option("baseline")
        used.page.get_by_label("Learning curves of folds").select_option(["3", "5"])
        used.page.get_by_label("Learning curves of folds").blur()
        assert watched.page.get_by_label("Configuration").input_value() == "trial 2"
        written.trial(1)  # the best
        for here in (watched, used):
            here.wait_until(
                lambda: offered(here, "Configuration") == ["trial 1", "trial 2", "baseline"],  # noqa: B023
                "the list to grow",
            )
        assert watched.page.get_by_label("Configuration").input_value() == "trial 1"
        assert watched.page.locator("#shown").inner_text().startswith("trial 1: recurrent")
        assert used.page.get_by_label("Configuration").input_value() == "baseline"
        folds = used.page.get_by_label("Learning curves of folds")
        assert folds.evaluate("list => [...list.selectedOptions].map(o => o.value)") == ["3", "5"]
        rows = compared.page.locator("#comparison tbody tr")
        compared.wait_until(lambda: rows.count() == 3, "the comparison to grow")
        assert offered(compared, "Configurations") == ["trial 1", "trial 2", "baseline"]
        assert watched.said + used.said + compared.said == []


def test_keyboard_stays_where_it_was_when_a_table_grows(reader, written):
    with serving(written.home) as address:
        here = reader(address)
        here.open("/sweeps/tiny")
        here.page.get_by_role("link", name="baseline").focus()
        written.trial(1)
        board = here.page.locator("#board")
        here.wait_until(lambda: "trial 1" in board.inner_text(), "the board to follow")
        assert here.page.evaluate("document.activeElement.textContent") == "baseline"
        assert here.said == []
