"""Points follow from kept verdicts, the rules and the teacher's hand, and follow again when these change."""

from datetime import UTC, datetime, timedelta

import pytest
from classroom import verdict

from helpers.grading.grade import ungraded
from helpers.grading.marks import Late, Override, Rules, marked, overrides_of, rules_of
from helpers.grading.report import table

UNTIL = datetime(2027, 1, 15, 23, 59, tzinfo=UTC)


def result(*, when=None, late=None, **outcomes):
    """Verdicts on lesson 3: `a="passed"` is about 3.1, `b` about 3.2 …; a number is the share of a wrong answer."""
    verdicts = {}
    for letter, outcome in outcomes.items():
        share = outcome if isinstance(outcome, float) else float(outcome == "passed")
        kind = "not yet" if isinstance(outcome, float) else outcome
        verdicts[f"3.{'abcd'.index(letter) + 1}"] = verdict(kind) | {"share": share}
    return {"verdicts": verdicts, "seconds": 1.0, "handed": {"when": when, "late": late}}


def marks(results, rules=None, overrides=None, student="ann"):
    found = marked({student: {3: results}}, rules or Rules(), overrides or {})[student][3]
    return [verdict["mark"] for verdict in found["verdicts"].values()], found.get("late", "")


def at(**over):
    return (UNTIL + timedelta(**over)).timestamp()


def test_without_rules_a_solved_exercise_is_a_point_whenever_it_came():
    results = result(a="passed", b=0.9, c="not attempted", d="not judged", when=at(days=99))
    assert marks(results) == ([1, 0, 0, 0], "")
    assert table({"ann": {3: results}}) == table(marked({"ann": {3: results}}, Rules(), {}))


def test_weights_and_partial_credit():
    rules = Rules(weights={"3.1": 2, "3.2": 0.5}, partial=True)
    results = result(a="passed", b=0.25, c=0.75, d="not attempted")
    assert marks(results, rules) == ([2, 0.12, 0.75, 0], "")
    found = marked({"ann": {3: results}}, rules, {})["ann"][3]["verdicts"]
    assert [each["of"] for each in found.values()] == [2, 0.5, 1, 1]
    assert table(marked({"ann": {3: results}}, rules, {})).splitlines()[1] == "ann,2,0.12,0.75,0,2.87"


@pytest.mark.parametrize(
    ("over", "kept", "said"),
    [
        ({"seconds": 0}, 1, ""),
        ({"seconds": 1}, 0.9, "1 day late: 10% less"),
        ({"days": 1}, 0.9, "1 day late: 10% less"),
        ({"days": 1, "seconds": 1}, 0.8, "2 days late: 20% less"),
        ({"days": 4, "hours": 1}, 0.7, "5 days late: 30% less"),  # no more than at_most
        ({"days": 5, "hours": 1}, 0, "6 days late: it counts no more"),
    ],
)
def test_late_work_loses_what_the_rule_says(over, kept, said):
    rules = Rules(deadlines={3: UNTIL}, late=Late(per_day=0.1, at_most=0.3, days=5))
    assert marks(result(a="passed", when=at(**over)), rules) == ([kept], said)


def test_a_moved_deadline_and_an_extension_move_the_marks():
    late = result(a="passed", when=at(days=2))
    rules = Rules(deadlines={3: UNTIL}, late=Late(per_day=0.5))
    assert marks(late, rules) == ([0], "2 days late: 100% less")
    assert marks(late, Rules(deadlines={3: UNTIL + timedelta(days=2)}, late=rules.late)) == ([1], "")
    own = Rules(deadlines={3: UNTIL}, late=rules.late, extensions={"ann": {3: UNTIL + timedelta(days=1)}})
    assert marks(late, own) == ([0.5], "1 day late: 50% less") and marks(late, own, student="ben")[0] == [0]


def test_where_only_the_platform_says_late_one_day_counts_and_an_extension_is_trusted():
    flagged = result(a="passed", late=True)
    assert marks(flagged) == ([1], "marked as late where it was handed in; its time is not known")
    rules = Rules(deadlines={3: UNTIL}, late=Late(per_day=0.25))
    assert marks(flagged, rules)[0] == [0.75] and "so one day counts: 25% less" in marks(flagged, rules)[1]
    own = Rules(late=rules.late, extensions={"ann": {3: UNTIL}})
    assert marks(flagged, own)[0] == [1] and "the extension is taken to cover it" in marks(flagged, own)[1]
    assert marks(result(a="passed", late=False), rules) == ([1], "")


def test_a_mark_set_by_hand_stands_against_everything():
    rules = Rules(deadlines={3: UNTIL}, late=Late(per_day=1.0))
    results = result(a="not judged", b="passed", when=at(days=3))
    overrides = {("ann", "3.1"): Override(0.5, "half of it is right"), ("ben", "3.2"): Override(1, "")}
    found = marked({"ann": {3: results}}, rules, overrides)["ann"][3]["verdicts"]
    assert (found["3.1"]["mark"], found["3.1"]["why"]) == (0.5, "set by hand: half of it is right")
    assert (found["3.2"]["mark"], found["3.2"]["why"]) == (0, "1 less 100%, being late")
    assert "mark" not in results["verdicts"]["3.1"]  # what is kept stays as it is
    assert table({"ann": {3: {"verdicts": found}}}).splitlines()[1] == "ann,0.5,0,0.5"


# ── What the teacher writes ──


def test_the_rules_are_read(tmp_path):
    (tmp_path / "grading.toml").write_text(
        'partial = true\n[weights]\n"3.1" = 2\n[deadlines]\n3 = 2027-01-16T00:59:00+01:00\n'
        '[late]\nper_day = 0.1\ndays = 7\n[extensions."Ada L."]\n3 = 2027-01-18T23:59:00Z\n'
    )
    rules = rules_of(tmp_path / "grading.toml")
    assert (rules.partial, rules.weights, rules.late) == (True, {"3.1": 2}, Late(per_day=0.1, days=7))
    assert rules.deadline("ben", 3) == UNTIL and rules.deadline("Ada L.", 3) == UNTIL + timedelta(days=3)
    assert rules.deadline("Ada L.", 4) is None
    (tmp_path / "grading.toml").write_text("")
    assert rules_of(tmp_path / "grading.toml") == Rules()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weight = 1", "'weight' is unknown; there are weights, partial, deadlines, late, extensions"),
        ('[weights]\n"3.9" = 1', r"'3.9' in \[weights\] is unknown; there are 1.1 … 9.4"),
        ('[weights]\n"3.1" = -1', r"3.1 in \[weights\] must be a number, at least 0, not -1"),
        ("partial = 1", "partial must be true or false, not 1"),
        ("[late]\nper_day = 2", r"per_day in \[late\] must be a number, from 0 to 1, not 2"),
        ("[late]\nper_week = 0.5", r"'per_week' in \[late\] is unknown; there are per_day, at_most, days"),
        ("[deadlines]\n3 = 2027-01-15", r"3 in \[deadlines\] must be a time such as"),
        ("[deadlines]\n12 = 2027-01-15T10:00:00", r"'12' in \[deadlines\] is unknown"),
        ('[extensions]\n"Ada" = 3', r"\[extensions.Ada\] must be a table of lessons, not 3"),
        ("late = 3", r"\[late\] must be a table, not 3"),
        ("a = ", "--rules cannot be read"),
    ],
)
def test_rules_that_cannot_be_are_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "grading.toml").write_text(text)
    with pytest.raises(ValueError, match=message) as refused:
        rules_of(tmp_path / "grading.toml")
    assert "\n" not in str(refused.value)


def test_overrides_are_read_and_never_written(tmp_path):
    path = tmp_path / "overrides.csv"
    path.write_text('student,exercise,mark,reason\nann,3.1,1.5,"well, nearly"\n')
    before = path.stat().st_mtime_ns, path.read_bytes()
    found = overrides_of(path, {"ann": None}, Rules(weights={"3.1": 2}))
    assert found == {("ann", "3.1"): Override(1.5, "well, nearly")}
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("bob,3.1,1,", "row 2 below the head of .*: no student is called 'bob'"),
        ("ann,3.9,1,", "row 2 below the head of .*: there is no exercise '3.9'"),
        ("ann,3.1,2,", "row 2 below the head of .*: the mark must be a number from 0 to 1, not '2'"),
        ("ann,3.1,,", "row 2 below the head of .*: the mark must be a number from 0 to 1, not ''"),
        ("ann,3.1,nan,", "row 2 below the head of .*: the mark must be a number from 0 to 1, not 'nan'"),
    ],
)
def test_an_override_that_cannot_be_names_its_line(tmp_path, line, message):
    path = tmp_path / "overrides.csv"
    path.write_text(f"student,exercise,mark,reason\nann,3.1,1,\n{line}\n")
    with pytest.raises(ValueError, match=message):
        overrides_of(path, {"ann": None}, Rules())


def test_a_mark_by_hand_needs_no_work(tmp_path):
    (tmp_path / "o.csv").write_text("student;exercise;mark;reason\n\nben;3.2;0,5;oral exam\n")
    overrides = overrides_of(tmp_path / "o.csv", {"ben": None}, Rules())
    found = marked({"ben": {}}, Rules(), overrides)["ben"][3]["verdicts"]
    assert found["3.2"]["mark"] == 0.5 and found["3.1"]["mark"] == 0


def test_what_was_not_handed_in_has_no_marks():
    blank = marked({"ann": {3: ungraded(3)}, "ben": {}}, Rules(), {})
    assert {each["mark"] for each in blank["ann"][3]["verdicts"].values()} == {0} and blank["ben"] == {}
