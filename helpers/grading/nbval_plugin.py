"""What nbval needs to grade: the reference of every check is its pass line, whatever a notebook has stored.

nbval compares a run with the outputs in the file itself, so a blank notebook that was run and saved would pass. With
these hooks (notebooks/conftest.py imports them, `helpers.grading.nbval_run` too) a check passes only if its exercise
is solved; cells have readable names, a cell that takes too long and a kernel that dies are failures, and a table of
the exercises closes the report.
"""

import time
from queue import Empty

import pytest
from nbformat.v4 import new_output
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError

from helpers.exercises.verdict import BLANK, PASSED, Verdict

SLICE = 1.0  # seconds between two looks at whether the kernel is alive
results = pytest.StashKey[dict]()


class Lesson(IPyNbFile):
    """A notebook whose cells are named after their ids and whose checks can fail."""

    ended = ""  # why no further cell can run

    def collect(self):
        for item in super().collect():
            number = item.cell.metadata.get("exercise")
            if "check" in item.cell.metadata.get("tags", []):
                item.cell.execution_count = 1
                item.cell.outputs = [new_output("stream", name="stdout", text=f"{Verdict(number, PASSED)}\n")]
                item.options.update(check=True, skip=False, check_exception=False)
            elif number:
                item.options.update(check=False, skip=False, check_exception=False)
            yield Cell.from_parent(
                self,
                name=item.cell.get("id", item.name),
                cell_num=item.cell_num,
                cell=item.cell,
                options=item.options,
            )

    def setup(self):
        super().setup()
        await_message = self.kernel.get_message

        def get_message(stream, timeout=None):
            """nbval's own would wait for a dead kernel as long as for a busy one."""
            end = time.monotonic() + (timeout or float("inf"))
            while True:
                try:
                    return await_message(stream, timeout=min(SLICE, max(0.0, end - time.monotonic())))
                except Empty:
                    if not self.kernel.is_alive():
                        raise RuntimeError("the kernel has died") from None
                    if time.monotonic() >= end:
                        raise

        self.kernel.get_message = get_message


class Cell(IPyNbCell):
    """One cell of code; that of a check knows its exercise and what was printed."""

    @property
    def number(self) -> str | None:
        """The exercise that this cell checks, if it does."""
        return self.cell.metadata.get("exercise") if "check" in self.cell.metadata.get("tags", []) else None

    @property
    def printed(self) -> str:
        """The first line that the cell printed."""
        lines = "".join(out.get("text", "") for out in self.test_outputs or []).splitlines()
        return lines[0] if lines else ""

    def setup(self):
        """nbval expects cells after one that took too long to fail, and would not count them."""

    def runtest(self):
        if self.parent.ended:
            raise NbCellError(self.cell_num, f"not run: {self.parent.ended}", self.cell.source)
        try:
            super().runtest()
        except RuntimeError as error:
            self.parent.ended = self.parent.ended or "the kernel has died"
            raise NbCellError(self.cell_num, str(error), self.cell.source) from None
        finally:
            if self.parent.timed_out:
                self.parent.ended = self.parent.ended or "an earlier cell took too long"

    def repr_failure(self, excinfo):
        told = self.printed or str(excinfo.value).partition("\n")[0]
        return told if self.number else f"{told}\n{super().repr_failure(excinfo)}"

    def reportinfo(self):
        return self.path, 0, f"{self.path.name}: {self.name}"


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    """Put `Lesson` where nbval has put its own class."""
    found = yield
    return [Lesson.from_parent(parent, path=c.path) if type(c) is IPyNbFile else c for c in found]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if isinstance(item, Cell) and item.number and (call.when == "call" or report.failed):
        notebook = item.config.stash.setdefault(results, {}).setdefault(item.path.name, {})
        said = item.printed.partition(" — ")[2]
        why = str(getattr(call.excinfo, "value", "")).splitlines()
        notebook[item.number] = PASSED if report.passed else said if said and said != PASSED else (why or ["failed"])[0]
    return report


def pytest_terminal_summary(terminalreporter, config):
    """The table of the exercises."""
    for name, verdicts in config.stash.get(results, {}).items():
        solved = sum(verdict == PASSED for verdict in verdicts.values())
        terminalreporter.section(f"{name}: {solved} of {len(verdicts)} exercises solved")
        for number, verdict in verdicts.items():
            mark = {PASSED: "✓", BLANK: "·"}.get(verdict, "✗")
            terminalreporter.write_line(f"  {mark} {number:5} {verdict}")
