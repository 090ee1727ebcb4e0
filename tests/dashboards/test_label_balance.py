from calsweep.dashboards.label_balance import label_balance
from calsweep.dashboards.style import reading
from calsweep.datasets.manifest import RecordingEntry


def entry(name, counts, *, subject="m1"):
    n_frames = sum(counts.values())
    return RecordingEntry(
        subject=subject,
        name=name,
        n_frames=n_frames,
        n_trials=1,
        longest_trial_frames=n_frames,
        label_counts={"run": counts},
    )


def test_each_recording_is_a_bar_of_the_shares_of_its_classes():
    drawn = label_balance(
        [entry("m1_a", {0: 900, 1: 100}), entry("m1_b", {0: 50, 1: 40, -1: 10})], target="run"
    )
    assert [(bar.name, bar.x, bar.text) for bar in drawn.data] == [
        ("class 0", (90.0, 50.0), ("90%", "50%")),
        ("class 1", (10.0, 40.0), ("10%", "40%")),
        ("not known", (0.0, 10.0), ("", "10%")),
    ]
    assert drawn.layout.yaxis.ticktext == ("m1_a", "m1_b")
    assert drawn.layout.xaxis.title.text == "share of frames (%)"
    assert "Of all frames: 86.4% class 0, 12.7% class 1, 0.9% not known." in reading(drawn)


def test_of_many_recordings_the_animals_are_drawn():
    entries = [
        entry(f"m{animal}_{day}", {0: 30, 1: 10 * animal}, subject=f"m{animal}")
        for animal in range(1, 5)
        for day in range(11)
    ]
    drawn = label_balance(entries, target="run")
    assert drawn.layout.yaxis.title.text == "animal"
    assert drawn.layout.yaxis.ticktext == ("m1", "m2", "m3", "m4")
    assert drawn.data[1].x == (25.0, 40.0, 50.0, 57.14)
    assert list(drawn.data[1].customdata[3]) == ["m4", 440]


def test_names_are_text_and_classes_beyond_the_colors_have_a_pattern():
    drawn = label_balance([entry("<b>m1</b>", dict.fromkeys(range(7), 10))], target="run")
    assert drawn.layout.yaxis.ticktext == ("&lt;b&gt;m1&lt;/b&gt;",)
    looks = {(bar.marker.color, bar.marker.pattern.shape) for bar in drawn.data}
    assert len(looks) == 7
