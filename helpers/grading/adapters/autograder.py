"""Classroom 50 runs a copy of this file, beside which the grader lies, in a student's checkout."""

import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Install the grader and have it write ./result.json; not 0 is a failure of the grader, and costs no student."""
    here, checkout = Path(__file__).resolve().parent, Path.cwd()
    python = os.environ.get("PYTHON")  # of a grader that is installed already
    if not python:
        subprocess.run(["bash", here / "setup.sh"], cwd=here, check=True)
        python = here / ".venv" / "bin" / "python"
    program = [python, "-P", "-m", "helpers.grading.adapters.run", "classroom50", checkout]
    options = ["--assignment", here / "assignment.json", "--out", checkout / "result.json"]
    return subprocess.run([*program, *options], cwd=here, env=os.environ | {"PYTHONPATH": str(here)}).returncode


if __name__ == "__main__":
    sys.exit(main())
