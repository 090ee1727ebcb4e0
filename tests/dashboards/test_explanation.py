"""Figures of explanations show what is stored, with units on axes and a sentence."""

import numpy as np
import pytest

from calsweep.dashboards import explanation as drawing
from calsweep.dashboards.report import explanation_plates, render
from calsweep.dashboards.style import reading
from calsweep.platform.explanations.explained import read_explained
from calsweep.platform.explanations.explanation import Kind
from tests.dashboards.explained import FACTS, shap, write_explained


@pytest.fixture
def explained(writer):
    return write_explained(writer())


def read(sweep, kind):
    return read_explained(sweep, sweep.trials[1], kind)


def test_bars_rank_units_and_star_those_above_the_null_models(explained):
    figure = drawing.unit_bars(read(explained, Kind.SHAP))
    bars, nulls = figure.data
    assert set(bars.y[:2]) == {"region6", "region8"}
    assert bars.x[0] > 0.1 > nulls.x[0]
    starred = {note.y: note.text for note in figure.layout.annotations}
    assert starred["region6"] == starred["region8"] == "***"
    assert "20 units that matter less are not drawn" in reading(figure)
    assert "permuted labels" in reading(figure)


def test_map_has_times_in_seconds(explained):
    figure = drawing.importance_map(read(explained, Kind.SHAP))
    (heat,) = figure.data
    assert heat.x == (-0.2, -0.1, 0.0, 0.1, 0.2)
    assert len(heat.z) == 50
    starred = [unit for unit in heat.y if "*" in unit]
    assert starred == ["region6 ***", "region8 ***"]
    assert "stars: units that matter more than in models of permuted labels" in reading(figure)
    assert figure.layout.xaxis.title.text == "time from the frame decoded (s)"


def test_completeness_is_drawn_and_told(explained):
    figure = drawing.completeness(read(explained, Kind.SHAP))
    assert figure.data[0].x == figure.data[0].y
    assert len(figure.data[0].x) == 800
    assert "within 3.0e-07 of it" in reading(figure)


def test_attention_is_drawn_by_class(explained):
    figure = drawing.attention_curve(read(explained, Kind.ATTENTION))
    thick = [trace for trace in figure.data if trace.name]
    assert [trace.name for trace in thick] == ["class 0", "class 1"]
    assert thick[1].y == (0.2, 0.2, 0.2, 0.2, 0.5)


def test_cut_outs_lie_over_the_mean_image_with_regions_outlined(explained):
    figure = drawing.cut_out_importance(read(explained, Kind.CUT_OUT))
    image, cells, borders = figure.data
    assert np.shape(image.z) == (128, 128)
    assert (cells.x[3], cells.y[2]) == (55.5, 39.5)
    assert cells.z[2][3] == 0.05
    assert -cells.zmin == cells.zmax == pytest.approx(0.05)
    left, right, top, bottom = 9.5, 29.5, 4.5, 9.5
    corners = {(x, y) for x, y in zip(borders.x, borders.y, strict=True) if x is not None}
    assert corners == {(x, y) for x in (left, right) for y in (top, bottom)}
    assert "lines are borders of regions" in reading(figure)


def test_pixels_are_drawn_where_images_are_explained(explained):
    facts = {**FACTS, "units": [], "image_shape": [16, 16]}
    trial = explained.trials[0]
    one = shap(np.random.default_rng(0), strong=False, facts=facts)
    one.arrays["importance"] = np.ones((3, 16, 16), np.float32)
    one.write(explained.fold_folder(trial.folds[0]))
    found = read_explained(explained, trial, Kind.SHAP)
    figure = drawing.image_importance(found)
    assert np.shape(figure.data[0].z) == (16, 16)
    assert "1 of 20 folds" in reading(figure)
    names = [plate.name for plate in explanation_plates(explained)]
    assert names[:2] == ["shap-0-image", "shap-0-sums"]


def test_report_has_a_section_for_explanations(explained, sweep):
    page = render(explained)
    names = [plate.name for plate in explanation_plates(explained)]
    assert names[:5] == ["shap-1-units", "shap-1-map", "shap-1-sums", "attention-1", "cut-out-1"]
    assert 'id="explanations"' in page
    assert all(f'<figure id="{name}">' in page for name in names)
    assert 'id="explanations"' not in render(sweep)
