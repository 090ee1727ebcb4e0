"""The page of a population: while it runs, when it is done, and with a member that is chosen."""

from calsweep.platform.config import compose_settings
from tests.dashboards.evolved import LIVES, write_lineage
from tests.dashboards.web.served import serious, serving

FIGURES = [
    "population-loss",
    "population-tree",
    "population-training.learning_rate",
    "population-training.label_smoothing",
]


def rows(here, section):
    return [row.split("\t") for row in here.page.locator(f"{section} tbody tr").all_inner_texts()]


def set_off(here, figure):
    """Give the generations' members that the thick line of the tree goes through."""
    line = "name => document.getElementById(name).querySelector('.plot').data.at(-2)"
    return here.page.evaluate(f"({line})('{figure}').y")


def choose_the_third(here):
    """Ask for the ancestors of member 3."""
    here.page.get_by_label("Ancestors of member").select_option("3")
    here.page.get_by_role("button", name="Show").click()
    here.page.wait_for_url("**member=3")
    here.draw_all()
    assert here.page.locator("#ancestors h2").inner_text() == "Ancestors of member 3"
    assert [row[:2] for row in rows(here, "#ancestors")] == [["1", "2"], ["2", "2"], ["3", "3"]]


def settings():
    """Give settings of a sweep that is a population of three generations at most."""
    of_three = ["tuner=population", "population.size=3", "population.generations=3"]
    return compose_settings(["datasets.address=s3://lab/tiny", *of_three])


def test_generations_appear_as_they_come_and_a_members_ancestors_are_chosen(reader, writer):
    written = writer(settings=settings())
    written.begin()
    folder = written.read().folder
    with serving(written.home) as address:
        here = reader(address)
        here.open("/sweeps/tiny/population")
        assert "calsweep sweep datasets.address=lab/m1 tuner=population" in (
            here.page.locator("#missing").inner_text()
        )
        write_lineage(folder, LIVES[:6])
        here.page.wait_for_selector("#ancestors")  # the page sees by itself that there is more
        here.draw_all()
        assert here.drawn() == FIGURES
        assert rows(here, "#ancestors") == [
            ["1", "2", "began", "0.5", "0.01", "0.1"],
            ["2", "1", "took over from member 2", "0.4", "0.008", "0.1"],
        ]
        write_lineage(folder, LIVES[6:])
        here.wait_until(lambda: len(rows(here, "#ancestors")) == 3, "the third generation")
        assert rows(here, "#ancestors")[2] == [
            "3", "2", "took over from member 1", "0.3", "0.007", "0.1",
        ]  # fmt: skip
        assert rows(here, "#exploits")[:2] == [
            ["3", "3", "died", "member 2", "0.45", "0.01 → 0.011", "0.1 → 0.1"],
            ["3", "2", "0.45", "member 1", "0.4", "0.008 → 0.007", "0.1 → 0.1"],
        ]
        assert serious(here.page) == []
        here.shoot("population-whole")

        here.page.reload()
        choose_the_third(here)
        assert set_off(here, "population-tree") == [2, 2, None, 2, 3, None]
        here.darken("population-whole")
        assert serious(here.page) == []
        assert here.narrow("population-whole") == []
        here.open()
        cells = here.page.locator("#list tbody td").all_inner_texts()
        assert cells[2].strip() == "100 %"
        assert "generation 3 of at most 3, best loss 0.3" in cells[4]
        here.open("/sweeps/tiny/population?member=9")
        assert here.page.locator("#missing").inner_text() == (
            "Generation 3 has no member 9. There are: 1, 2, 3."
        )
        assert (here.said, here.outside) == ([], [])


def test_lineage_that_is_cut_short_is_told_or_left_out(reader, writer):
    written = writer()
    written.begin()
    folder = written.read().folder
    write_lineage(folder)
    lineage = folder / "lineage.jsonl"
    lineage.write_text(lineage.read_text()[:-40])
    with serving(written.home) as address:
        here = reader(address)
        here.open("/sweeps/tiny/population")
        assert "2 generations of 3 members" in here.page.locator("#size").inner_text()
        lines = lineage.read_text().splitlines()
        lineage.write_text("\n".join(['{"event": "life"}', *lines[:3]]) + "\n")
        here.page.reload()
        said = here.page.locator("#missing").inner_text()
        assert said.startswith("The population's record cannot be read: ")
        assert (here.said, here.outside) == ([], [])
