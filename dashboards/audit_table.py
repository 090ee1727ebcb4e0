"""The audit of a sweep's folds in a reader's words: what was looked at, why, and what was found."""

from __future__ import annotations

from dataclasses import dataclass

from calsweep.datasets.audit import Finding, Kind, Standing, Verdict


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One thing that the audit looks at.

    Attributes
    ----------
    question
        What was asked of every fold.
    why
        What a decoder could gain if it were so.
    standing
        ``leak``, ``note`` or ``nothing found``.
    found
        The findings, in sentences.
    """

    question: str
    why: str
    standing: str
    found: tuple[str, ...]


_ASKED = {
    Kind.ANIMALS: (
        "Is an animal in two parts of a fold?",
        "A decoder that has trained on an animal knows its cells, its brightness and its habits; "
        "how well it does then says little of a new animal.",
    ),
    Kind.RECORDINGS: (
        "Is a recording in two parts?",
        "Frames of one recording share drift, motion and arousal, which alone tell a decoder much "
        "of what a later frame of it shows.",
    ),
    Kind.FRAMES: (
        "Is a single frame in two parts?",
        "A frame that trains and tests is known by heart.",
    ),
    Kind.WINDOWS: (
        "Do windows of two parts share frames at a border?",
        "A decoder sees a window of frames; next to a border it would reach into the other part "
        "unless a gap is left out between them. What it decodes is counted too.",
    ),
    Kind.STEPS: (
        "Does a step before the decoder carry frames over a border?",
        "Detrending, deconvolution or scaling over a whole recording makes a frame depend on its "
        "neighbors, so a training frame may hold something of a test frame, or of its own future.",
    ),
    Kind.FITTED: (
        "Was anything fitted outside the training part?",
        "Scaling, or a mask of units chosen on frames that validate or test, has seen the answers.",
    ),
    Kind.LABELS: (
        "Are the labels those that were observed?",
        "Permuted labels are a control, in which a decoder has to stay at chance.",
    ),
}
_MEANING = {
    Standing.CLEAN: (
        "Clean: nothing below was found in any fold of any configuration, so no part of a fold "
        "knows of another."
    ),
    Standing.NOTED: (
        "Clean with notes: nothing breaks what the fold plan claims, but a reader of its figures "
        "should know what is marked as a note."
    ),
    Standing.LEAKY: (
        "Leaky: two parts of a fold know of each other, so test figures are higher than new data "
        "would give. The evidence is marked as a leak."
    ),
}


def meaning(verdict: Verdict, /) -> str:
    """Say in a sentence what a verdict means.

    Examples
    --------
    >>> meaning(Verdict()).split(":")[0]
    'Clean'
    """
    return _MEANING[verdict.standing]


def audit_table(verdict: Verdict, /) -> tuple[Checked, ...]:
    """Give each thing that was looked at, and what was found of it.

    Examples
    --------
    >>> note = Finding(kind=Kind.STEPS, is_leak=False, what="Detrending looks 500 frames ahead.")
    >>> [(c.standing, c.found) for c in audit_table(Verdict(findings=(note,)))][4]
    ('note', ('Detrending looks 500 frames ahead.',))
    """
    return tuple(
        Checked(
            question=question,
            why=why,
            standing=_standing([f for f in verdict.findings if f.kind is kind]),
            found=tuple(_sentence(f) for f in verdict.findings if f.kind is kind),
        )
        for kind, (question, why) in _ASKED.items()
    )


def _standing(findings: list[Finding]) -> str:
    if any(finding.is_leak for finding in findings):
        return "leak"
    return "note" if findings else "nothing found"


def _sentence(finding: Finding) -> str:
    asked_for = " (the plan asks for this leak by name)" if finding.is_asked_for else ""
    return f"{finding.sentence.rstrip('.')}{asked_for if finding.is_leak else ''}."
