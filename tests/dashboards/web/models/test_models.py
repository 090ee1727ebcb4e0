"""Models: who is champion and why; promotion and rollback from the page, with a token alone."""

import urllib.error
import urllib.parse
import urllib.request

import pytest

from calsweep.platform.champion.candidate import best_candidate
from calsweep.platform.champion.promotion import promote
from calsweep.platform.record_reader import read_sweep
from tests.dashboards.web.served import serious, serving
from tests.platform.written_sweep import NOWHERE
from tests.recorded import record_weak_and_strong

PROMOTED_WITHIN_S = 240.0  # two processes that load torch and MLflow
TOKEN = "0123456789abcdef0123"
WITH_TOKEN = {"CALSWEEP_PROMOTE_TOKEN": TOKEN}


@pytest.fixture(scope="module")
def home(mice, tmp_path_factory):
    """Give a home whose sweep ``weak`` is champion ``runner``, with another, ``strong``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        home = record_weak_and_strong(tmp_path_factory.mktemp("models"), mice)
        promote(best_candidate(read_sweep(home, "weak")), home=home, name="runner")
    return home


def post(address, path, *, origin=None, **fields):
    body = urllib.parse.urlencode(fields).encode()
    headers = {"Origin": address if origin is None else origin}
    request = urllib.request.Request(f"{address}{path}", data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as found:
            return found.status, found.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def champion(here):
    return here.page.locator("#heading .state").inner_text()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_promotion_and_rollback_need_the_token_and_refusals_are_told(home, reader):
    with serving(home, "--allow-promote", **WITH_TOKEN) as address:
        here = reader(address)
        here.open("/models")
        here.wait_until(lambda: here.page.locator("#away").count() == 0, "MLflow's answer")
        cells = here.page.locator("#list tbody td")
        here.wait_until(lambda: cells.nth(1).inner_text() == "version 1", "the champion")
        assert "There was no champion to beat." in cells.nth(3).inner_text()
        assert serious(here.page) == []

        def give(sweep, token, *, is_ensemble=False, **fields):
            here.open("/models")
            here.page.get_by_label("Sweep").select_option(sweep)
            here.page.get_by_label("Name of the model").fill("runner")
            for label, text in fields.items():
                here.page.locator(f"[name={label}]").fill(text)
            here.page.get_by_label("all folds as one").set_checked(is_ensemble)
            here.page.get_by_label("Token").fill(token)
            here.page.get_by_role("button", name="Promote").click()
            here.page.wait_for_load_state()

        def ended(state):
            said = here.page.locator("#change")
            here.wait_until(
                lambda: state in said.locator("h2").inner_text(),
                f"it to be {state}",
                within_s=PROMOTED_WITHIN_S,
            )
            return said.inner_text()

        give("strong", "no such token at all")
        refusal = here.page.locator("#refusal").inner_text()
        assert refusal == (
            "The token is not the one that the page was started with. Nothing was done."
        )
        assert here.page.locator("#change").count() == 0
        here.said.clear()  # the browser notes that the answer was 403

        give("strong", TOKEN, **{"unbeaten-because": "six folds are few", "because": "a test"})
        assert "Champion models:/runner@champion is version 2" in ended("done")
        here.page.get_by_role("link", name="runner").click()
        here.page.wait_for_selector("#history")
        here.wait_until(lambda: "version 2, test" in champion(here), "MLflow's answer")
        assert "challenger: version 1" in champion(here)
        history = here.page.locator("#history tbody tr").all_inner_texts()
        assert [row.split("\t")[1:4] for row in history] == [
            ["promote", "2", "1"],
            ["promote", "1", "–"],
        ]
        assert "a test" in history[0]
        assert "unbeaten overruled: six folds are few" in history[0]
        assert "overruled: unbeaten" in here.page.locator("#evidence").inner_text()
        here.open("/models/runner")
        assert here.drawn() == ["champion-folds"]
        assert serious(here.page) == []
        here.shoot("model")

        whole = {"trial": "trial weak", "leaky-because": "it is not"}
        give("weak", TOKEN, is_ensemble=True, **whole)
        said = ended("refused")
        assert "is not promoted: it does not beat the champion" in said
        assert "Nothing is changed." in said

        here.open("/models/runner")
        here.page.locator("#rollback select[name=to]").select_option("1")
        here.page.get_by_label("Why").fill("stumbles")
        here.page.get_by_label("Token").fill(TOKEN)
        here.page.get_by_role("button", name="Roll back").click()
        here.page.wait_for_load_state()
        assert "version 1 again; version 2 is the challenger now." in ended("done")
        here.wait_until(lambda: "Champion: version 1" in champion(here), "the champion")
        newest = here.page.locator("#history tbody tr").first.inner_text()
        assert newest.split("\t")[1:4] == ["rollback", "1", "2"]
        assert "stumbles" in newest
        assert (here.said, here.outside) == ([], [])


def test_page_without_a_token_only_reads_and_says_how(home, reader):
    with serving(home) as address:
        here = reader(address)
        here.open("/models")
        assert here.page.locator("form").count() == 0
        said = here.page.locator("#promote").inner_text()
        assert "calsweep promote SWEEP --name NAME" in said
        assert "calsweep dashboard --allow-promote" in said
        here.shoot("models")
        assert here.narrow("models") == []
        here.open("/models/runner")
        assert "calsweep champion rollback runner --because REASON" in (
            here.page.locator("#rollback").inner_text()
        )
        here.darken("model")
        assert serious(here.page) == []
        assert here.narrow("model") == []
        assert (here.said, here.outside) == ([], [])
        status, text = post(address, "/promote", sweep="strong", token=TOKEN)
        assert status == 403
        assert "This page only reads" in text
        assert post(address, "/rollback", model="runner", because="x")[0] == 403


def test_form_of_another_site_or_of_nonsense_changes_nothing(home):
    with serving(home, "--allow-promote", **WITH_TOKEN) as address:
        for origin in ("http://evil.example", "null", ""):
            status, text = post(address, "/promote", origin=origin, sweep="weak", token=TOKEN)
            assert status == 403
            assert "not from this page" in text
        status, text = post(address, "/promote", sweep="wek", token=TOKEN)
        assert status == 400
        assert "No sweep &#39;wek&#39;." in text
        status, text = post(address, "/promote", sweep="weak", model="../x", token=TOKEN)
        assert status == 400
        assert "must not be empty, hold `/`" in text
        status, text = post(address, "/rollback", model="runner", token=TOKEN)
        assert status == 400
        assert "A rollback needs a reason" in text
        assert post(address, "/promote", sweep="x" * 30_000, token=TOKEN)[0] == 400


def test_mlflow_that_does_not_answer_leaves_the_history(home, reader):
    with serving(home, "--tracking-uri", NOWHERE) as address:
        here = reader(address)
        here.open("/models")
        away = here.page.locator("#away")
        here.wait_until(lambda: "from this home's own history" in away.inner_text(), "word of it")
        assert "secret" not in here.page.content()
        assert "version 1" in here.page.locator("#list tbody").inner_text()
        here.open("/models/runner")
        assert here.page.locator("#history tbody tr").count() >= 1
        assert (here.said, here.outside) == ([], [])


def test_home_without_models_says_how_one_is_made(reader, tmp_path):
    with serving(tmp_path) as address:
        here = reader(address)
        here.open("/models")
        assert "No model is registered yet" in here.page.locator("#list").inner_text()
        assert not (tmp_path / "mlflow.db").exists()
        assert (here.said, here.outside) == ([], [])
        # Until MLflow has answered it is not known that there is none.
        here.wait_until(lambda: here.open("/models/none") == 404, "MLflow's answer")
