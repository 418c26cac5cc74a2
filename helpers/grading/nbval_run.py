"""nbval over one notebook, inside the sandbox: the notebook comes in as text, what its checks say goes out as JSON.

Whoever wrote the notebook may forge what goes out; it informs, and the judge decides.
"""

import json
import os
import sys
from pathlib import Path

import pytest

from helpers.grading import nbval_plugin

STARTING = 60.0  # seconds that the imports may take


class Session:
    """Gives an exercise its time, and keeps what the plugin has found when pytest is done."""

    def __init__(self, seconds: float):
        self.seconds, self.found = seconds, {}

    def pytest_runtest_setup(self, item):
        item.config.option.nbval_cell_timeout = self.seconds if "exercise" in item.cell.metadata else STARTING

    def pytest_sessionfinish(self, session):
        self.found = session.config.stash.get(nbval_plugin.results, {})


def main() -> None:
    name, seconds = sys.argv[1:3]
    Path(name).write_text(sys.stdin.read(), encoding="utf-8")
    answer = os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    options = ["--nbval-lax", "--nbval-current-env", "-q", "--color=no", "-p", "no:cacheprovider", "--rootdir=."]
    session = Session(float(seconds))
    pytest.main([*options, name], plugins=[nbval_plugin, session])
    json.dump(session.found.get(name, {}), answer)
    answer.flush()


if __name__ == "__main__":
    main()
