from calsweep.dashboards.fold_plan import divides_time, fold_in_time, plan_matrix
from calsweep.dashboards.style import reading
from calsweep.datasets.fold import Fold, FoldPlan, HeldOut, Stretch, WindowDraw


def stretch(recording, start=0, stop=100):
    return Stretch(recording=recording, start_frame=start, stop_frame=stop)


def whole(index, train, validation, test):
    return Fold(
        index=index,
        train=tuple(map(stretch, train)),
        validation=(stretch(validation),),
        test=(stretch(test),),
    )


BLOCKS = Fold(
    index=3,
    train=(stretch("a", 0, 60), stretch("a", 60, 100), stretch("b", 200, 300)),
    validation=(stretch("b", 0, 90),),
    test=(stretch("a", 110, 200),),
)


def test_each_recording_has_a_letter_and_a_color_in_each_fold():
    folds = (whole(0, "bc", "d", "a"), whole(1, "ad", "b", "c"))
    drawn = plan_matrix(folds, ["a", "b", "c", "d", "e"])
    (cells,) = drawn.data
    assert [list(row) for row in cells.text] == [
        ["T", ""],
        ["", "v"],
        ["", "T"],
        ["v", ""],
        ["", ""],
    ]
    assert [list(row) for row in cells.z] == [[3, 1], [1, 2], [1, 3], [2, 1], [0, 0]]
    assert cells.customdata[0][1] == "a<br>fold 1<br>100 frames: trains"
    assert cells.customdata[4][0] == "e<br>fold 0<br>left out"
    assert drawn.layout.xaxis.ticktext == ("0", "1")
    assert drawn.layout.yaxis.ticktext == ("a", "b", "c", "d", "e")
    assert "none tests what it trained" in reading(drawn)


def test_recording_that_is_divided_in_time_is_told_apart():
    drawn = plan_matrix([BLOCKS], ["a", "b"])
    assert [list(row) for row in drawn.data[0].text] == [["x"], ["x"]]
    assert drawn.data[0].customdata[0][0] == "a<br>fold 3<br>100 frames: trains<br>90 frames: tests"
    assert "none tests" not in reading(drawn)


def test_stretches_of_a_fold_stand_along_time():
    drawn = fold_in_time(BLOCKS, ["a", "b"], rate_hz=10.0)
    bars = {bar.name: (bar.y, bar.base, bar.x, bar.marker.pattern.shape) for bar in drawn.data}
    assert bars == {
        "training": ((0, 1), (0.0, 20.0), (10.0, 10.0), ""),
        "validation": ((1,), (0.0,), (9.0,), "/"),
        "test": ((0,), (11.0,), (9.0,), "x"),
    }
    assert drawn.layout.xaxis.title.text == "time in the recording (s)"


def test_windows_drawn_at_random_are_no_stretches_of_a_part():
    shared = (stretch("a"),)
    draw = WindowDraw(seed=1, validation_share=0.1, test_share=0.2)
    fold = Fold(index=0, train=shared, validation=shared, test=shared, draw=draw)
    (bar,) = fold_in_time(fold, ["a"], rate_hz=10.0).data
    assert (bar.name, bar.x) == ("several parts", (10.0,))
    assert "at random" in reading(fold_in_time(fold, ["a"], rate_hz=10.0))


def test_many_stretches_are_cut_and_that_is_said():
    trials = tuple(stretch("a", 10 * i, 10 * i + 5) for i in range(2000))
    fold = Fold(index=0, train=trials, validation=(stretch("b"),), test=(stretch("c"),))
    drawn = fold_in_time(fold, ["a", "b", "c"], rate_hz=10.0)
    assert [len(bar.x) for bar in drawn.data] == [1500, 0, 0]
    assert "The first 1,500 of 2,002 stretches." in reading(drawn)


def test_whether_a_plan_divides_time():
    kept = FoldPlan(name="kept", groups=(), folds=(whole(0, "bc", "d", "a"),))
    divided = FoldPlan(name="cut", holds_out=HeldOut.FRAMES, groups=(), folds=(BLOCKS,))
    assert not divides_time(kept)
    assert divides_time(divided)
