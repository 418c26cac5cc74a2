"""What a machine with CUDA must pass, in one go: tests, the lessons' panels, benchmarks; all of it in build/gpu.json.

python -m tests.gpu
"""

import json
import re
import subprocess
import sys
import time

import torch

from tests.benchmarks.__main__ import OUT, all_rows
from tests.benchmarks.beside import machine

TESTS = {
    "tests that take a device": ["-k", "cuda", "-m", "not limits and not notebook and not attacks and not browser"],
    "panels of the lessons at their limits": ["-m", "limits", "tests/test_lesson_panels.py", "--on-gpu"],
}


def main() -> None:
    if not torch.cuda.is_available():
        raise SystemExit("make gpu needs CUDA, and there is none here")
    found = {"machine": machine()}
    for name, arguments in TESTS.items():
        found[name] = run(arguments)
        print(f"{name}: {found[name]}", flush=True)
    found["rows"] = all_rows()
    OUT.parent.mkdir(exist_ok=True)
    OUT.with_name("gpu.json").write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(any(found[name]["exit"] for name in TESTS))


def run(arguments: list[str]) -> dict:
    """The exit status of pytest, its last line and its failures, and seconds."""
    began = time.perf_counter()
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=short", *arguments], capture_output=True, text=True
    )
    failed = re.findall(r"^FAILED (.+)$", tests.stdout, re.MULTILINE)
    last = tests.stdout.strip().splitlines()[-1:]
    return {"exit": tests.returncode, "last": last, "failed": failed, "s": round(time.perf_counter() - began)}


if __name__ == "__main__":
    main()
