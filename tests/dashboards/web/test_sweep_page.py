"""What was pruned and why, what is left of a budget, and searches at the same budget."""

from xml.etree import ElementTree

from calsweep.platform.pruning import Pruned
from tests.dashboards.conftest import composed
from tests.dashboards.web.served import serious, serving


def test_pruned_configurations_say_why_and_what_is_left_is_said(reader, writer):
    written = writer(settings=composed("seed=7", "budget.device_hours=0.0125"))
    written.begin()
    written.trial(0)
    written.trial(1)
    why = Pruned(n_folds=5, against="trial 1", p=0.03125, mean_difference=-0.0612)
    written.trial(2, n_folds=5, pruned=why)
    with serving(written.home) as address:
        here = reader(address)
        here.open("/sweeps/tiny")
        cells = here.page.locator("#pruned tbody td").all_inner_texts()
        assert cells[0].startswith("trial 2")
        assert cells[1:] == ["5 of 20", "-0.0612", "trial 1", "0.031"]
        budget = here.page.locator("#budget").inner_text()
        assert "Spent: 0.0125 device-hours" in budget  # 45 folds of a second
        assert "Of 0.0125 device-hours 0 are left." in budget
        assert serious(here.page) == []
        here.open()
        row = here.page.locator("#list tbody tr").inner_text()
        assert "2 of 3, 1 pruned" in row
        assert "45 device-s" in row
        assert (here.said, here.outside) == ([], [])


def test_searches_are_cut_to_the_same_budget(reader, writer):
    long, short = writer(), writer(name="short")
    for written, numbers in ((long, (0, 1, 2)), (short, (1,))):
        written.begin()
        for number in numbers:
            written.trial(number)
    with serving(long.home) as address:
        here = reader(address)
        here.open("/sweeps/tiny/compare")
        here.page.get_by_label("Beside, the best of").select_option("short")
        here.page.get_by_label("Each search cut to the same").select_option("device")
        here.page.get_by_role("button", name="Compare").click()
        here.page.wait_for_url("**budget=device**")
        said = here.page.locator("#comparison").inner_text()
        assert "Equal budget: 0.00556 device-hours each" in said  # 20 s
        assert "of tiny 1 of 2 configurations, of short 1 of 1 configurations" in said
        here.draw_all()
        assert here.drawn() == ["boxes", "differences", "arm-rocs"]
        here.open("/sweeps/tiny/compare?budget=device")
        missing = here.page.locator("#missing").inner_text()
        assert "name two sweeps, or one with arms" in missing
        here.open("/sweeps/tiny/compare?budget=gold")
        assert "'gold' is not a valid Measure" in here.page.locator("#missing").inner_text()
        here.open("/sweeps/tiny/compare?beside=none")
        assert "No sweep 'none'" in here.page.locator("#missing").inner_text()
        assert (here.said, here.outside) == ([], [])


def test_every_figure_can_be_saved_as_svg_for_print(address, reader, tmp_path):
    here = reader(address, color_scheme="dark")
    here.open("/sweeps/tiny")
    here.draw_all()
    assert here.page.locator("button.save").count() == len(here.drawn())
    button = here.page.get_by_role("button", name="Save as SVG: Every fold of every configuration")
    button.focus()
    with here.page.expect_download() as download:
        here.page.keyboard.press("Enter")
    assert download.value.suggested_filename == "spread.svg"
    download.value.save_as(tmp_path / "spread.svg")
    drawn = ElementTree.parse(tmp_path / "spread.svg").getroot()
    assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
    text = (tmp_path / "spread.svg").read_text()
    assert "AUC (0.5 is chance, 1 is perfect)" in text
    assert "rgb(31, 41, 51)" in text  # dark ink, though the page is dark
    assert "rgb(0, 114, 178)" in text
    assert 'style="fill: rgb(255, 255, 255)' in text
    assert serious(here.page) == []
    assert (here.said, here.outside) == ([], [])
