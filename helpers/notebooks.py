"""Run the lessons, solved, and store their outputs, blank, in a form that is the same on every run.

python -m helpers.notebooks                     # every lesson
python -m helpers.notebooks notebooks/01_filters.ipynb
"""

import argparse
import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from helpers.core.lessons import LESSONS, lesson_of
from helpers.exercises.solutions import solutions
from helpers.exercises.solved import OFF
from helpers.grading.assemble import check_cells, exercise_cells, paste

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
WIDGET = "application/vnd.jupyter.widget-view+json"


def run(path: Path, answers: dict[str, str] | None = None, timeout: int = 600) -> nbformat.NotebookNode:
    """Execute a notebook in its own folder and return it with normalised outputs; the file is left alone.

    A panel leaves its picture at the lesson's settings (`helpers.panels.plain`).

    Args:
        answers: what to write into exercise cells before, by number. They are blank again in what is returned.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised.
    """
    blank = nbformat.read(path, as_version=4)
    notebook = paste(blank, answers or {})
    execute(notebook, path.parent, "picture", timeout=timeout)
    return normalise(paste(notebook, {number: cell.source for number, cell in exercise_cells(blank).items()}))


def execute(notebook: nbformat.NotebookNode, folder: Path, panels: str, **options) -> None:
    """Run a notebook where it stands, in a kernel of its own that notes nothing of what is solved.

    Args:
        folder: in which it runs.
        panels: what a panel leaves, the value of `PANELS`.
        **options: of `nbclient.NotebookClient`.
    """
    resources = {"metadata": {"path": folder}}
    client = NotebookClient(notebook, kernel_name="python3", resources=resources, store_widget_state=False, **options)
    client.execute(env=os.environ | {OFF: "1", "PANELS": panels})


def unsolved(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """What the checks that did not pass have printed, by number."""
    printed = {n: "".join(o.get("text", "") for o in cell.outputs) for n, cell in check_cells(notebook).items()}
    return {number: text for number, text in printed.items() if text != f"Exercise {number} — passed\n"}


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what changes from run to run: time stamps, widget models, progress bars, warnings on stderr."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    count = 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        cell.metadata.pop("execution", None)
        cell.outputs = _join_streams([output for output in map(_normalise_output, cell.outputs) if output is not None])
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    return notebook


def _normalise_output(output):
    if output.output_type == "stream":
        return output if output.name == "stdout" else None
    if output.output_type == "error":
        return output
    kinds = output.data
    if WIDGET in kinds:  # a widget's model does not outlive its kernel; its text or picture does
        del kinds[WIDGET]
        if not kinds or _is_progress_bar(kinds):
            return None
    return output


def _join_streams(outputs):
    """What a cell prints may arrive in several pieces, cut anywhere."""
    joined = []
    for output in outputs:
        if joined and output.output_type == joined[-1].output_type == "stream":
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _is_progress_bar(kinds):
    return set(kinds) <= {"text/plain"} and "it/s" in kinds.get("text/plain", "it/s")


def main() -> None:
    parser = argparse.ArgumentParser(description="Run lessons and store their outputs.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: every lesson")
    paths = parser.parse_args().notebooks or [lesson.notebook for lesson in LESSONS]
    try:
        answers = [solutions(lesson_of(path)) for path in paths]
    except ValueError as error:
        parser.error(str(error))
    for path, solved in zip(paths, answers, strict=True):
        start = time.perf_counter()
        notebook = run(path, solved)
        if wrong := unsolved(notebook):
            raise SystemExit(f"{path.name} is left as it was, a solution does not pass: {wrong}")
        nbformat.write(notebook, path)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1e6:.2f} MB", flush=True)


if __name__ == "__main__":
    main()
