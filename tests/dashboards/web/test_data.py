"""The Data page on a sweep whose dataset is there, is another by now, and is gone."""

import shutil
import socket
import time
from dataclasses import replace

import pytest

from calsweep.dashboards.web import data
from calsweep.dashboards.web.choice import Choice
from calsweep.dashboards.web.shelf import Reading, Shelf
from calsweep.datasets.fold_in_time import TimeBlocks
from calsweep.datasets.fold_protocol import AnimalGroups
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.simulation import Simulation
from calsweep.platform.fold.training import Training
from calsweep.platform.settings import Settings
from calsweep.trainables.linear import Linear
from tests.dashboards.web.served import serious, serving
from tests.recorded import record_sweep


@pytest.fixture(scope="module")
def recorded(mice, tmp_path_factory):
    """Give the home of two sweeps over one dataset, by animal and by time, and the dataset."""
    home = tmp_path_factory.mktemp("data")
    folder = shutil.copytree(mice.folder, home / "mice")
    training = Training(epochs=1, learning_rate=1e-2, batch_size=64)
    for name, folds in {
        "animals": AnimalGroups(k_groups=3),
        "blocks": TimeBlocks(k_groups=3),
    }.items():
        view = replace(mice.view(length=5), address=str(folder), folds=folds)
        settings = Settings(trainables=Linear(), datasets=view, training=training)
        record_sweep(home, name, {"trial 1": settings}, n_folds=1)
    return home, folder


def seconds(here):
    return here.page.evaluate("document.querySelector('#traces .plot').layout.xaxis.range")


def integrity(here):
    return here.page.locator("#integrity").inner_text()


def settled(here, figures):
    here.draw_all()
    here.wait_until(lambda: here.drawn() == figures, f"{figures} to be drawn")


def test_everything_of_a_dataset_is_shown_and_its_controls_do_what_they_say(recorded, mice, reader):
    home, _ = recorded
    with serving(home) as address:
        here = reader(address)
        here.open("/sweeps/animals/data")
        settled(here, ["balance", "traces", "plan"])
        table = here.page.locator("#recordings tbody tr")
        here.wait_until(lambda: table.count() == 5, "the manifest")
        entry = mice.manifest.recordings[0]
        share = entry.label_counts["run"][1] / 900
        assert table.first.locator("td").all_inner_texts() == [
            entry.name, entry.subject, "900", "30.0 s", "1",
            f"{1 - share:.1%}", f"{share:.1%}", "none",
        ]  # fmt: skip
        holds = here.page.locator("#recordings .why").inner_text()
        assert holds.startswith("50 units in every frame, at 30 Hz; behavior: ")
        assert "is the dataset that this sweep was trained on" in integrity(here)
        assert "Nothing found." in here.page.locator("#audit").inner_text()
        assert seconds(here) == [0, 30]
        here.shoot("data-whole")
        assert serious(here.page) == []

        here.page.get_by_role("link", name="0:10 min").click()
        here.wait_until(lambda: seconds(here) == [10, 20], "a shorter stretch")
        here.page.keyboard.press("ArrowRight")
        here.wait_until(lambda: seconds(here) == [15, 25], "the next stretch")
        assert here.page.locator("#where").inner_text().startswith("0:15.0 to 0:25.0 of 0:30.0")
        here.page.locator("#along select").select_option(mice.manifest.recordings[3].name)
        here.page.locator("#along button").click()
        here.page.wait_for_url("**recording=**")
        settled(here, ["balance", "traces", "plan"])
        title = "document.querySelector('#traces .plot').layout.xaxis.title.text"
        assert here.page.evaluate(title) == f"time in {mice.manifest.recordings[3].name} (s)"

        here.page.get_by_role("link", name="Check every shard").click()
        here.wait_until(lambda: "Whole: 1 shards" in integrity(here), "the check")
        assert "check=1" in here.page.url
        assert serious(here.page) == []
        assert (here.said, here.outside) == ([], [])


def test_plan_that_divides_time_shows_the_stretches_of_a_chosen_fold(recorded, reader):
    home, _ = recorded
    with serving(home) as address:
        here = reader(address)
        here.open("/sweeps/blocks/data")
        settled(here, ["balance", "traces", "plan", "fold"])
        here.page.locator("#plans input[name=fold]").fill("4")
        here.page.locator("#plans button").click()
        here.page.wait_for_url("**fold=4**")
        settled(here, ["balance", "traces", "plan", "fold"])
        assert "in fold 4" in here.page.locator("#fold figcaption").inner_text()
        assert here.narrow("data-blocks") == []
        assert (here.said, here.outside) == ([], [])


def test_recordings_of_many_are_listed_page_by_page(recorded):
    home, folder = recorded
    sweep = Shelf(home).read("animals").sweep
    names = [f"m{i}" for i in range(70)]
    dataset = {**sweep.dataset, "recordings": names, "address": str(folder / "none")}
    reading = Reading(sweep=replace(sweep, dataset=dataset), version="")
    first, last = (data.said(reading, Choice(page=page)) for page in (1, 2))
    assert (first["n_recordings"], first["n_pages"]) == (70, 2)
    assert [*first["names"], *last["names"]] == names


def test_another_dataset_at_the_address_is_told_and_nothing_of_it_is_shown(recorded, tmp_path):
    home, _ = recorded
    another = tmp_path / "mice"
    simulation = Simulation(n_mice=3, recordings_per_mouse=1, n_frames=600, seed=2)
    write_dataset(simulation.recordings(), folder=another)
    sweep = Shelf(home).read("animals").sweep
    moved = replace(sweep, dataset={**sweep.dataset, "address": str(another)})
    reading = Reading(sweep=moved, version="")
    give_up_s = time.monotonic() + 60
    while (said := data.said(reading, Choice()))["again"]:
        assert time.monotonic() < give_up_s
    integrity = said["integrity"]
    assert integrity.is_wrong
    assert integrity.is_there  # so that its shards can be checked all the same
    assert f"Another dataset lies at {another} than this sweep was trained on" in integrity.verdict
    assert "nothing of it is shown" in said["missing"]
    assert said["recordings"] == []
    assert said["where"] == ""
    with pytest.raises(ValueError, match="is another than the sweep was trained on"):
        data.balance(reading, Choice())


def test_dataset_that_is_damaged_or_gone_is_told_in_its_place(recorded, reader):
    home, folder = recorded
    (shard,) = folder.glob("*.parquet")
    whole = shard.read_bytes()
    with serving(home, CALSWEEP_CACHE=str(home / "other-cache")) as address:
        here = reader(address)
        shard.write_bytes(whole[:-100])
        here.open("/sweeps/animals/data?check=1")
        here.wait_until(lambda: "1 of 1 shards are not as written" in integrity(here), "the check")
        assert f"The shard {shard.name} is damaged" in integrity(here)
        here.draw_all()
        here.wait_until(lambda: "is damaged" in "".join(here.missing()), "word of the traces")
        assert here.drawn() == ["balance", "plan"]
        here.page.get_by_role("link", name="Check again").click()
        shard.write_bytes(whole)

    shutil.rmtree(folder)
    with serving(home) as address:
        here = reader(address)
        here.open("/sweeps/animals/data")
        here.wait_until(lambda: "No dataset at" in integrity(here), "word of the dataset")
        assert here.page.get_by_role("link", name="Check every shard").count() == 0
        here.draw_all()
        here.wait_until(lambda: "No dataset at" in "".join(here.missing()), "word of the figures")
        assert here.drawn() == ["plan"]
        here.shoot("data-gone")
        assert serious(here.page) == []
        assert (here.said, here.outside) == ([], [])


def test_store_that_never_answers_is_told_and_nothing_waits_for_it(finished_home, reader):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and says nothing
        environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "key-of-nobody",
        }
        with serving(finished_home, **environment) as address:
            here = reader(address)
            here.open("/sweeps/tiny/data")
            assert "The dataset's address is being asked." in integrity(here)
            assert "m1_a, m2_a, m3_a" in here.page.locator("#recordings").inner_text()
            here.draw_all()
            assert here.drawn() == ["plan"]
            here.wait_until(lambda: "s3://lab/tiny cannot be used" in integrity(here), "its limit")
            here.wait_until(
                lambda: "".join(here.missing()).count("s3://lab/tiny cannot be used") == 2,
                "word of the figures",
            )
            assert "key-of-nobody" not in here.page.content()
            assert (here.said, here.outside) == ([], [])
