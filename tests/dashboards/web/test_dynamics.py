"""Populations of `calsweep lfads` in the list and on pages of their own."""

import contextlib
import json

from calsweep.platform.config import compose_dynamics
from calsweep.platform.ownership.standing import BEST
from calsweep.platform.record import dynamics_folder
from calsweep.platform.record_writer import Record
from tests.dashboards.evolved import LIVES, write_lineage
from tests.dashboards.web.served import serious, serving
from tests.dashboards.web.test_pages import answer
from tests.dashboards.web.test_population import FIGURES, choose_the_third, rows

NAME = "<img src=x onerror=alert(1)>"


@contextlib.contextmanager
def begun(home, name):
    """Hold a population of three members as the command does while it trains."""
    of_three = ["population.size=3", "population.generations=4"]
    settings = compose_dynamics(["datasets.address=s3://lab/m1", *of_three])
    settings = settings.with_addresses("s3://lab/<b>spikes</b>")
    folder = dynamics_folder(home) / name
    dataset = {"address": settings.datasets.address, "content_hash": "da7a" * 16}
    with Record(folder) as record:
        record.begin(
            {
                "settings": settings.intent,
                "overrides": of_three,
                "dataset": dataset,
                "code_version": "0.1.0+abc",
            }
        )
        record.append({"event": "begin"})
        yield folder


def lines(here):
    return [row.split("\t") for row in here.page.locator("#dynamics tbody tr").all_inner_texts()]


def test_population_is_followed_from_the_list_to_its_end(reader, tmp_path):
    with serving(tmp_path) as address, contextlib.ExitStack() as held:
        here = reader(address)
        here.page.on("dialog", lambda dialog: here.said.append(dialog.message))
        here.open()
        folder = held.enter_context(begun(tmp_path, NAME))
        here.page.get_by_role("link", name=NAME).click()  # the list sees by itself that it began
        assert "No generation of it is whole yet" in here.page.locator("#missing").inner_text()
        write_lineage(folder, LIVES[:6])
        here.page.wait_for_selector("#ancestors")
        here.draw_all()
        assert here.drawn() == FIGURES
        write_lineage(folder, LIVES[6:])
        here.wait_until(lambda: len(rows(here, "#ancestors")) == 3, "the third generation")
        assert rows(here, "#exploits")[0][:4] == ["3", "3", "died", "member 2"]
        heading = here.page.locator("#heading .state").inner_text()
        assert (
            heading
            == "running · generation 3 of at most 4 · best loss 0.3 · time left at most about 0:01"
        )
        assert here.page.locator("h1").inner_text() == NAME
        asked = dict(rows(here, "#settings"))
        assert asked["Datasets"] == "s3://lab/<b>spikes</b>"
        assert asked["Population"] == "3 members, at most 4 generations of 50 epochs"
        assert "training.regularization.kl_inputs" in asked["Searched"]
        assert serious(here.page) == []
        here.shoot("dynamics")

        held.close()
        choose_the_third(here)
        way_on = here.page.locator("#next")
        assert f"calsweep resume '{NAME}'" in way_on.inner_text()
        (folder / BEST).write_text("{}")
        here.wait_until(lambda: "resume" not in way_on.inner_text(), "the rates to be offered")
        assert f"calsweep rates '{NAME}'" in way_on.inner_text()
        here.draw_all()
        here.darken("dynamics")
        assert serious(here.page) == []
        assert here.narrow("dynamics") == []
        here.open()
        ((name, state, *cells),) = lines(here)
        assert (name, state.split("last")[0].strip()) == (NAME, "finished")
        assert cells == ["3 of at most 4", "0.3", "–", "–"]
        assert serious(here.page) == []
        assert here.narrow("sweeps-dynamics") == []
        assert (here.said, here.outside) == ([], [])


def test_what_is_damaged_or_not_there_is_told_in_its_place(reader, tmp_path):
    with begun(tmp_path, "lorenz") as cut:
        write_lineage(cut, LIVES)
    lineage = cut / "lineage.jsonl"
    lineage.write_text(lineage.read_text()[:-40])  # as a crash leaves it
    texts = {"half": '{"settings": ', "list": "[]", "empty": "{}"}
    for name, text in texts.items():
        (cut.parent / name).mkdir()
        (cut.parent / name / "sweep.json").write_text(text)
    (cut.parent / "nothing-yet").mkdir()
    with serving(tmp_path) as address:
        here = reader(address)
        here.open()
        said = {name: rest for name, *rest in lines(here)}
        assert set(said) == {"lorenz", *texts}
        assert "its record was cut short" in said["half"][0]
        assert all(said[name][0].startswith("cannot be read: ") for name in texts)
        for name in texts:
            assert here.open(f"/dynamics/{name}") == 200
            assert "cannot be read" in here.page.locator("#missing").inner_text()
        here.open("/dynamics/lorenz")
        assert "2 generations of 3 members" in here.page.locator("#size").inner_text()
        assert (here.said, here.outside) == ([], [])
        for path in ("none", "nothing-yet", "..", "..%2F..", "..%2Fdynamics%2Florenz"):
            status, text = answer(address, f"/dynamics/{path}")
            assert (status, "Nothing here" in text) == (404, True)
        told = json.loads(answer(address, "/dynamics/lorenz/figure/none")[1])
        assert told == {"missing": "There is no figure 'none' of this population."}
        assert "left nothing of the name" in answer(address, "/dynamics/x/figure/none")[1]
