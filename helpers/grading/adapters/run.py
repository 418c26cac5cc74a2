"""One submission graded where a platform has put it, and its marks written as that platform reads them.

python -P -m helpers.grading.adapters.run gradescope submission --assignment assignment.json --out results.json

The -P keeps Python from importing what a student calls `helpers`.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

from helpers.core.images import write_atomically
from helpers.grading.adapters.formats import PLACE, classroom50, gradescope, summary
from helpers.grading.files import in_folder
from helpers.grading.grade import grade, ungraded
from helpers.grading.marks import Rules, marked
from helpers.grading.report import NO_LESSON, plain, remarks
from helpers.grading.sandbox import unprotected
from helpers.grading.submissions import find

PLATFORMS = ("gradescope", "classroom50", "github")


@dataclass(frozen=True)
class Assignment:
    """What is asked for. When it is due is the platform's business.

    Attributes:
        lessons: that count, whether they are handed in or not.
        weights: points of an exercise; 1 for one that is not named.
        partial: whether a wrong answer earns the share of the judge's cases that it gets right.
    """

    lessons: tuple[int, ...]
    weights: Mapping[str, float] = field(default_factory=dict)
    partial: bool = False

    @property
    def unit(self) -> int:
        """The smallest whole number of points that marks can be counted in: 1, or 100 where there are fractions."""
        return 100 if self.partial or any(weight % 1 for weight in self.weights.values()) else 1

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> "Assignment":
        """What `text` has written."""
        said = json.loads(path.read_text("utf-8"))
        return cls(tuple(said["lessons"]), said["weights"], said["partial"])


def graded(submission: Path, assignment: Assignment) -> dict[int, dict]:
    """The marks of what lies in a folder, by lesson; at 0 what belongs to none."""
    handed = {each.lesson: each for each in find(in_folder(submission))}
    results = {0: NO_LESSON | {"problem": handed[0].problem}} if 0 in handed else {}
    for lesson in assignment.lessons:
        if lesson not in handed:
            results[lesson] = ungraded(lesson) | {"problem": "there is no notebook of this lesson"}
        elif handed[lesson].problem:
            results[lesson] = ungraded(lesson) | {"problem": handed[lesson].problem}
        else:
            results[lesson] = grade(lesson, handed[lesson].answers) | {"remark": handed[lesson].remark}
    return marked({"": results}, Rules(assignment.weights, assignment.partial), {})[""]


def main(arguments: list[str] | None = None) -> int:
    """Grade as the command line says. What it prints is for the teacher; what fails is the platform's to report."""
    parser = argparse.ArgumentParser(prog="python -P -m helpers.grading.adapters.run", description="Grade one student.")
    parser.add_argument("platform", choices=PLATFORMS)
    parser.add_argument("submission", type=Path, help="a folder with the notebooks anywhere in it")
    parser.add_argument("--assignment", type=Path, required=True, help="the assignment.json of this grader")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    options = parser.parse_args(arguments)
    if not options.submission.is_dir():
        parser.error(f"the submission must be a folder, not {options.submission}")
    if options.platform == "classroom50" and (missing := [name for name in PLACE.values() if not os.environ.get(name)]):
        parser.error(f"Classroom 50 has not said {', '.join(missing)}")
    torch.set_num_threads(1)
    warning, assignment = unprotected(), Assignment.read(options.assignment)
    results = graded(options.submission, assignment)
    if options.platform == "gradescope":
        _write(options.out, gradescope(results))
    if options.platform == "classroom50":
        _write(options.out.with_name("release-body.md"), summary(results))
        _write(options.out, classroom50(results, os.environ, datetime.now(UTC), assignment.unit))
    if options.platform == "github":
        _write(options.out, summary(results, warning))
    for line in [*([f"Warning: {warning}."] if warning else []), *remarks({"the submission": results})]:
        print(plain(line))
    return 0


def _write(path, text):
    data = text.encode("utf-8", "backslashreplace")
    write_atomically(path, lambda file: file.write(data))


if __name__ == "__main__":
    sys.exit(main())
