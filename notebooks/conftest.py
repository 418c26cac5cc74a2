"""`pytest --nbval-lax notebooks/03_occlusion.ipynb` grades a notebook: unsolved exercises fail, and nothing else."""

from helpers.grading.nbval_plugin import (  # noqa: F401
    pytest_collect_file,
    pytest_runtest_makereport,
    pytest_terminal_summary,
)
