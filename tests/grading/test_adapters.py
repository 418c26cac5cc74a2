"""Grading on platforms: what they read is as they say, and their shell steps, run by hand, give the judge's marks."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
import yaml
from classroom import LESSON, verdict
from jsonschema import Draft202012Validator

from helpers.grading.adapters.__main__ import main as write
from helpers.grading.adapters.formats import PLACE, classroom50, gradescope, summary
from helpers.grading.adapters.run import Assignment
from helpers.grading.adapters.run import main as run
from helpers.grading.assemble import paste
from helpers.grading.marks import Rules, marked
from helpers.grading.sandbox import unprotected

GOLDEN = Path(__file__).parent / "golden"
WHEN = datetime(2026, 9, 1, 12, 30, 5, tzinfo=UTC)
SERVER = "https://github.com/org/class-hello-ann"
ENVIRONMENT = {
    "CLASSROOM": "class",
    "ASSIGNMENT": "hello",
    "ASSIGNMENT_TYPE": "individual",
    "OWNER": "ann",
    "SUBMISSION_TAG": "submit/2026-09-01T12-29-00Z-a1b2c3d",
    "COMMIT_URL": f"{SERVER}/commit/a1b2c3d",
    "RELEASE_URL": f"{SERVER}/releases/tag/submit%2F2026-09-01T12-29-00Z-a1b2c3d",
    "REVIEW_URL": f"{SERVER}/compare/0..a1b2c3d",
}
RESULTS = marked(
    {
        "": {
            3: {
                "verdicts": {
                    "3.1": verdict("passed"),
                    "3.2": verdict("not yet", "<b>|`it`\n raises* [KeyError](x): '@all' $x$") | {"share": 0.25},
                    "3.3": verdict("not judged", "the grader itself failed on this answer", "passed"),
                    "3.4": verdict("not attempted"),
                },
                "seconds": 6.4,
                "remark": "2 files for lesson 3: `a.ipynb` counts: 3 answers, the other unusable (it is empty)",
            },
            4: {"verdicts": {"4.1": verdict("not attempted")}, "seconds": 0.0, "problem": "there is no notebook"},
            0: {"verdicts": {}, "seconds": 0.0, "problem": "`\x1b[31mx.ipynb`: broken"},
        }
    },
    Rules({"3.2": 2.5, "3.4": 3}, partial=True),
    {},
)[""]

# ── What they read ──

TEXT, NUMBER, COUNT = {"type": "string", "minLength": 1}, {"type": "number", "minimum": 0}, {"type": "integer"}
SEEN = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}


def described(required=(), **properties):
    """The schema of an object with these properties and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name.replace("__", "-") for name in required],
        "properties": {name.replace("__", "-"): kind for name, kind in properties.items()},
    }


def listed(kind):
    return {"type": "array", "items": kind}


GRADESCOPE = described(
    ["score", "tests"],
    score=NUMBER,
    execution_time=NUMBER,
    output={"type": "string"},
    output_format=FORMAT,
    visibility=SEEN,
    stdout_visibility=SEEN,
    tests=listed(
        described(
            ["name"],
            score=NUMBER,
            max_score=NUMBER,
            status={"enum": ["passed", "failed"]},
            name=TEXT,
            name_format=FORMAT,
            number=TEXT,
            output={"type": "string"},
            output_format=FORMAT,
            visibility=SEEN,
        )
    ),
)
POINTS = COUNT | {"minimum": 0}
TEST50 = {"test__name": TEXT, "passed": {"type": "boolean"}, "score": POINTS, "max__score": POINTS, "output": TEXT}
RESULT50 = {
    "schema": {"const": "classroom50/result/v1"},
    "classroom": TEXT,
    "assignment": TEXT,
    "assignment_type": {"enum": ["individual", "group", "team"]},
    "owner": TEXT,
    "submission": {"type": "string", "pattern": "^submit/"},
    "commit": TEXT,
    "release": TEXT,
    "review": TEXT,
    "datetime": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
    "score": POINTS,
    "max__score": POINTS,
    "tests": listed(described(TEST50, **TEST50)),
}
CLASSROOM50 = described(RESULT50, **RESULT50)


def checked(text, schema):
    """What a text says, after its platform's schema has been held against it."""
    said = json.loads(text)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(said)
    return said


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gradescope.json", gradescope(RESULTS)),
        ("classroom50.json", classroom50(RESULTS, ENVIRONMENT | {"TOKEN": "secret"}, WHEN, 100)),
        ("summary.md", summary(RESULTS, "bubblewrap is not here: answers run within limits")),
    ],
)
def test_what_is_written_is_what_it_was(name, text):
    assert text == (GOLDEN / name).read_text("utf-8")


def test_gradescope_reads_the_marks():
    said = checked(gradescope(RESULTS), GRADESCOPE)
    assert said["score"] == 1.62 and said["execution_time"] == 6
    assert [test.get("score") for test in said["tests"]] == [1, 0.62, None, 0, 0]
    assert [test.get("max_score") for test in said["tests"]] == [1, 2.5, None, 3, 1]
    assert [test["status"] for test in said["tests"]] == ["passed", "failed", "failed", "failed", "failed"]


def test_classroom50_reads_the_marks():
    said = checked(classroom50(RESULTS, ENVIRONMENT, WHEN, 100), CLASSROOM50)
    assert (said["score"], said["max-score"]) == (162, 750)
    assert all(test["score"] <= test["max-score"] for test in said["tests"])
    assert sum(test["score"] for test in said["tests"]) == said["score"]
    assert said["datetime"] == "2026-09-01T12:30:05Z" and said["owner"] == "ann"
    with pytest.raises(KeyError):
        classroom50(RESULTS, {}, WHEN)


def test_what_a_student_writes_is_no_markup():
    text = summary(RESULTS)
    bare = re.sub(r"\\.", "", text)
    rows = [line for line in bare.splitlines() if line.startswith("|")]
    assert len(rows) == 9 and all(line.count("|") == 4 for line in rows)
    assert not re.search(r"[<>\[\]`@$]|\x1b", bare) and "For the teacher" not in text
    assert max(map(len, summary({0: RESULTS[0] | {"problem": 5000 * "x"}}).splitlines())) < 1100
    assert "\x1b" not in gradescope(RESULTS) + classroom50(RESULTS, ENVIRONMENT, WHEN, 100)


# ── The files ──


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The files of each platform, for lesson 3."""
    folder = tmp_path_factory.mktemp("adapters")
    for platform in ("gradescope", "classroom50", "github"):
        assert write([platform, "3", "--out", str(folder / platform)]) == 0
    return folder


def test_a_grader_holds_no_answers_and_is_small(written):
    for platform, place in (("gradescope", "."), ("classroom50", "."), ("github", ".github/grader")):
        grader = written / platform / place
        assert Assignment.read(grader / "assignment.json") == Assignment((3,))
        names = {path.relative_to(grader).as_posix() for path in grader.rglob("*") if path.is_file()}
        assert {"setup.sh", "README.md", "LICENSE", "pyproject.toml", "helpers/grading/judge.py"} <= names
        assert not any("answers/" in name or "__pycache__" in name for name in names)
        assert sum((grader / name).stat().st_size for name in names) < 5_000_000  # Classroom 50 takes 10 MB, packed
        notebook = nbformat.read(grader / "notebooks" / LESSON.notebook.name, as_version=4)
        assert not any(cell.get("outputs") for cell in notebook.cells)
        wanted = tomllib.loads((grader / "pyproject.toml").read_text())["project"]["optional-dependencies"]["grade"]
        assert sorted(re.match(r"\w+", each)[0] for each in wanted) == ["nbval", "pytest"]
    program = written / "gradescope" / "run_autograder"
    assert os.access(program, os.X_OK) and b"\r" not in program.read_bytes()
    assert (written / "github" / ".github" / "workflows" / "exercises.yml").exists()


def test_weights_and_partial_credit_go_with_it(tmp_path):
    rules = tmp_path / "grading.toml"
    rules.write_text('partial = true\n[weights]\n"3.1" = 2\n[deadlines]\n3 = 2027-01-15T23:59:00Z\n')
    assert write(["gradescope", "3", "4", "--rules", str(rules), "--out", str(tmp_path / "out")]) == 0
    assert Assignment.read(tmp_path / "out" / "assignment.json") == Assignment((3, 4), {"3.1": 2}, True)
    units = [Assignment((3,)).unit, Assignment((3,), {"3.1": 2.0}).unit, Assignment((3,), {"3.1": 0.5}).unit]
    assert units == [1, 1, 100] and Assignment((3,), partial=True).unit == 100


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (write, ["gradescope", "12", "--out", "new"], "lesson must be from 1 to 9, not 12"),
        (write, ["gradescope", "3", "--out", "."], "--out must be a new or an empty folder; there is something at ."),
        (write, ["moodle", "3", "--out", "new"], "(choose from"),
        (write, ["github", "3", "--out", "new", "--rules", "none"], "--rules cannot be read: none"),
        (run, ["gradescope", "none", "--assignment", "a", "--out", "b"], "the submission must be a folder, not none"),
        (run, ["classroom50", ".", "--assignment", "a", "--out", "b"], "Classroom 50 has not said CLASSROOM, ASSIGN"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, monkeypatch, capsys, command, arguments, message):
    monkeypatch.chdir(tmp_path)
    for name in PLACE.values():
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit):
        command(arguments)
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert [*tmp_path.iterdir()] == [tmp_path / "file"]


# ── The shell steps, by hand ──


def shell(script, folder, **environment):
    """What bash does with a script, which finds the packages of this Python, and the course only where it lies."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", *PLACE.values())}
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=kept | {"PYTHON": sys.executable} | {name: str(value) for name, value in environment.items()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def checkout(tmp_path, lesson):
    """A student's folder, with a package in it that would give full marks to anybody who imported it."""

    def make(answers):
        folder = tmp_path / "checkout"
        (folder / "helpers").mkdir(parents=True)
        (folder / "helpers" / "__init__.py").write_text("raise SystemExit('the student has taken over')\n")
        (folder / "notebooks").mkdir()
        nbformat.write(paste(lesson, answers), folder / "notebooks" / LESSON.notebook.name)
        return folder

    return make


def test_gradescope_runs_its_autograder(written, checkout, solutions, tmp_path):
    (tmp_path / "results").mkdir()
    shutil.copytree(written / "gradescope", tmp_path / "source")
    checkout(solutions).rename(tmp_path / "submission")
    shutil.copy(tmp_path / "source" / "run_autograder", tmp_path)
    told = shell(f"cd {tmp_path}/submission && ../run_autograder", tmp_path, AUTOGRADER=tmp_path)
    said = checked((tmp_path / "results" / "results.json").read_text(), GRADESCOPE)
    assert said["score"] == len(said["tests"]) == len(solutions) and {t["status"] for t in said["tests"]} == {"passed"}
    assert ("Warning: bubblewrap" in told) == bool(unprotected()) and "bubblewrap" not in json.dumps(said)


def test_classroom50_runs_its_autograder(written, checkout):
    folder = checkout({"3.1": "def merge(map:"})
    shell(f"{sys.executable} {written}/classroom50/autograder.py", folder, **ENVIRONMENT)
    said = checked((folder / "result.json").read_text(), CLASSROOM50)
    assert (said["score"], said["max-score"]) == (0, len(said["tests"])) and said["classroom"] == "class"
    assert "## 0 of 4 points" in (folder / "release-body.md").read_text()


def test_github_runs_its_workflow_and_says_what_is_not_protected(written, checkout, solutions, tmp_path):
    folder = checkout({"3.2": solutions["3.2"]})
    shutil.copytree(written / "github", folder, dirs_exist_ok=True)
    workflow = yaml.safe_load((folder / ".github" / "workflows" / "exercises.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"} and {"push", "workflow_dispatch"} == set(workflow[True])
    steps = workflow["jobs"]["grade"]["steps"]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in steps if "uses" in step)
    install, step = (each for each in steps if "run" in each)
    assert (folder / install["run"].split()[1]).exists()
    (tmp_path / "bin").mkdir()
    for name in ("bash", "cat"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    page = tmp_path / "summary.md"
    page.write_text("before\n")
    where = {"GITHUB_WORKSPACE": folder, "GITHUB_STEP_SUMMARY": page, "PATH": tmp_path / "bin"}
    shell(step["run"], folder / step["working-directory"], **where)
    text = page.read_text()
    assert text.startswith("before\n## 1 of 4 points\n") and "| 3.2 | ✅ passed | 1 of 1 |" in text
    assert "| 3.1 | ⬜ not attempted | 0 of 1 |" in text
    assert "For the teacher: bubblewrap is not here" in text and "taken over" not in text


@pytest.mark.parametrize("new", [True, False], ids=["Python 3.11", "Python 3.10"])
def test_the_grader_is_installed_with_what_it_needs(written, tmp_path, new):
    """The commands are stand-ins that note how they were called; those of a venv are the same."""
    stand_in = '#!/bin/bash\necho "$(basename "$0") $*" >> "$LOG"\n'
    made = 'for last; do :; done; mkdir -p "$last/bin"; cp "$0" "$last/bin/python"\n'
    old = f'[[ $1 == -c ]] && exit {int(not new)}\n[[ "$*" == *venv* ]] && {{ {made.strip()}; }}\nexit 0\n'
    (tmp_path / "bin").mkdir()
    for name, more in {"apt-get": "", "sysctl": "exit 1\n", "sudo": '"$@"\n', "python3": old}.items():
        (tmp_path / "bin" / name).write_text(stand_in + more)
        (tmp_path / "bin" / name).chmod(0o755)
    shutil.copytree(written / "gradescope", tmp_path / "source")
    log, path = tmp_path / "log", f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    shell("bash source/setup.sh", tmp_path, LOG=log, PATH=path)
    lines = [line for line in log.read_text().splitlines() if not line.startswith(("sudo", "python3 -c"))]
    venv = f"{tmp_path}/source/.venv"
    made = [f"python3 -m venv {venv}"] if new else ["python3 -m pip install -q uv", lines[4]]
    assert lines == [
        "apt-get update -q",
        "apt-get install -y -q bubblewrap python3-pip python3-venv",
        "sysctl -q -w kernel.apparmor_restrict_unprivileged_userns=0",
        *made,
        "python -m pip install -q torch torchvision --index-url https://download.pytorch.org/whl/cpu",
        f"python -m pip install -q -e {tmp_path}/source[grade]",
    ]
    assert new or lines[4] == f"python3 -m uv venv -q --seed --managed-python --python 3.12 {venv}"
