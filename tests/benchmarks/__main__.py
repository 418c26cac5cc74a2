"""Every benchmark, ours and its peer in alternation: a line each, and all of it in build/bench.json.

python -m tests.benchmarks                       # all, under ten minutes on two cores
python -m tests.benchmarks occlusion style       # bench_occlusion.py and bench_style.py only
python -m tests.benchmarks --table               # build/bench.json as a table in Markdown
"""

import importlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.beside import machine

HERE = Path(__file__).parent
OUT = HERE.parent.parent / "build" / "bench.json"


def main() -> None:
    names = sys.argv[1:] or sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    if names == ["--table"]:
        print(table(json.loads(OUT.read_text())))
        return
    began, rows = time.perf_counter(), []
    for name in names:
        for row in importlib.import_module(f"tests.benchmarks.bench_{name}").rows():
            rows.append({"benchmark": name, **row})
            print(describe(row), flush=True)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
    print(f"{time.perf_counter() - began:.0f} s; written to build/{OUT.name}")


def all_rows(names: Sequence[str] = ()) -> list[dict]:
    """The rows of the benchmarks named, or of all, each printed as soon as it is there."""
    found = []
    for name in names or sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py")):
        for row in importlib.import_module(f"tests.benchmarks.bench_{name}").rows():
            found.append({"benchmark": name, **row})
            print(describe(row), flush=True)
    return found


def describe(row: dict) -> str:
    """What, our seconds, the peer's, how many times quicker ours is, and how many it is to be."""
    medians = f"medians {row['ours_median_s']:.3f} and {row['peer_median_s']:.3f}"
    times = f"{row['ours_s']:.3f} s, {row['peer']} {row['peer_s']:.3f} s"
    note = f", {row['note']}" if row["note"] else ""
    return f"{row['ratio']:5.2f}× ({row['must']}×)  {row['name']}: {times}  ({medians}; {row['apart']:.0e} apart{note})"


def table(found: dict) -> str:
    """The rows as Markdown, the machine above them."""
    head = [", ".join(f"{key} {value}" for key, value in found["machine"].items()), ""]
    head += ["| work | ours | peer | its time | times quicker |", "|---|---|---|---|---|"]
    return "\n".join(
        head
        + [
            f"| {row['name']} | {row['ours_s']:.2f} s | {row['peer']} | {row['peer_s']:.2f} s | {row['ratio']:.1f}× |"
            for row in found["rows"]
        ]
    )


if __name__ == "__main__":
    main()
