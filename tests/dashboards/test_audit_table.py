from calsweep.dashboards.audit_table import audit_table, meaning
from calsweep.datasets.audit import Finding, Kind, Verdict
from calsweep.datasets.fold import PartName

LEAK = Finding(
    kind=Kind.FRAMES,
    is_leak=True,
    is_asked_for=True,
    parts=(PartName.TRAIN, PartName.TEST),
    where=("m1_a",),
    n_where=1,
    n_frames=30,
    folds=(0,),
)


def test_every_kind_of_finding_is_asked_about():
    assert len(audit_table(Verdict())) == len(Kind)
    assert {line.standing for line in audit_table(Verdict())} == {"nothing found"}
    assert meaning(Verdict()).startswith("Clean: nothing below was found")


def test_leak_stands_at_its_question_with_its_evidence():
    note = Finding(kind=Kind.STEPS, is_leak=False, what="Detrending looks 500 frames ahead.")
    verdict = Verdict(findings=(LEAK, note))
    lines = {line.question: (line.standing, line.found) for line in audit_table(verdict)}
    assert lines["Is a single frame in two parts?"] == (
        "leak",
        (
            "30 frames of m1_a are in the training and the test part (fold 0) (the plan asks for "
            "this leak by name).",
        ),
    )
    assert lines["Does a step before the decoder carry frames over a border?"] == (
        "note",
        ("Detrending looks 500 frames ahead.",),
    )
    assert meaning(verdict).startswith("Leaky")
