"""Explanations of several decoders, side by side in the browser."""

import pytest

from tests.dashboards.explained import write_explained
from tests.dashboards.web.served import serious, serving


@pytest.fixture
def explained(writer):
    return write_explained(writer())


def test_decoders_stand_side_by_side_and_are_chosen(explained, reader):
    with serving(explained.folder.parent.parent) as address:
        here = reader(address, viewport={"width": 1280, "height": 900})
        here.open("/sweeps/tiny/explanations")
        here.page.wait_for_selector("#shap-2-map .plot-container")
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
        here.page.wait_for_selector("#shap-2-sums .plot-container")
        assert here.drawn() == ["shap-2-units", "shap-2-map", "shap-2-sums"]
        assert (here.said, here.outside) == ([], [])
