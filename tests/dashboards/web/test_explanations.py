"""Explanations of several decoders, side by side in the browser."""

import shutil

import pytest

from calsweep.platform.explanations.explanation import Kind, folder_of
from tests.dashboards.explained import write_explained
from tests.dashboards.web.served import serious, serving


@pytest.fixture
def explained(writer):
    return write_explained(writer())


def test_decoders_stand_side_by_side_and_are_chosen(explained, reader):
    with serving(explained.folder.parent.parent) as address:
        here = reader(address, viewport={"width": 1280, "height": 900})
        here.open("/sweeps/tiny/explanations")
        here.draw_all()
        assert here.drawn() == [
            "shap-1-units", "shap-2-units", "shap-1-map", "shap-2-map", "shap-1-sums",
            "shap-2-sums", "attention-1", "cut-out-1",
        ]  # fmt: skip
        one, two = (here.page.locator(f"#shap-{n}-map").bounding_box() for n in (1, 2))
        assert one["y"] == two["y"]
        assert one["x"] + one["width"] <= two["x"]
        here.shoot("explained")
        assert serious(here.page) == []

        here.page.get_by_label("Decoders side by side").select_option("trial 2")
        here.page.get_by_role("button", name="Show").click()
        here.page.wait_for_url("**arm=trial+2")
        here.draw_all()
        assert here.drawn() == ["shap-2-units", "shap-2-map", "shap-2-sums"]
        here.darken("explained")
        assert serious(here.page) == []
        assert here.narrow("explained") == []
        assert (here.said, here.outside) == ([], [])


def test_explanation_made_anew_is_drawn_and_a_damaged_one_is_told_in_its_place(explained, reader):
    trial = explained.trials[1]
    with serving(explained.folder.parent.parent) as address:
        here = reader(address)
        here.open("/sweeps/tiny/explanations?arm=trial 1")
        here.draw_all()
        assert "and 20 folds" in here.page.locator("#attention-1 figcaption").inner_text()
        for fold in trial.folds[1:]:
            shutil.rmtree(folder_of(Kind.ATTENTION, explained.fold_folder(fold)))
        damaged = folder_of(Kind.CUT_OUT, explained.fold_folder(trial.folds[3]))
        (damaged / "arrays.npz").write_bytes(b"cut short")
        here.page.reload()
        here.draw_all()
        assert "1 of 20 folds" in here.page.locator("#attention-1 figcaption").inner_text()
        (missing,) = here.missing()
        assert missing.startswith("cut-out-1: the explanation in ")
        assert "is damaged" in missing
        assert (here.said, here.outside) == ([], [])
