"""Run every benchmark, ours and its peer side by side, print the ratios and write them to build/bench.json.

python -m tests.benchmarks               # all
python -m tests.benchmarks occlusion     # bench_occlusion.py only
"""

import importlib
import json
import platform
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
OUT = HERE.parent.parent / "build" / "bench.json"


def main() -> None:
    names = sys.argv[1:] or sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    machine = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "CPU",
        "threads": torch.get_num_threads(),
    }
    print("  ".join(f"{key} {value}" for key, value in machine.items()))
    rows = []
    for name in names:
        for row in importlib.import_module(f"tests.benchmarks.bench_{name}").rows():
            rows.append({"benchmark": name, **row})
            print(describe(row), flush=True)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")
    print(f"written to {OUT.relative_to(Path.cwd()) if OUT.is_relative_to(Path.cwd()) else OUT}")


def describe(row: dict) -> str:
    """One line of the table: what, our seconds, the peer's, and how many times faster ours is."""
    ours = f"{row['name']}: {row['ours_s']:.2f} s"
    peer = f", {row['peer']} {row['peer_s']:.2f} s → {row['ratio']:.1f}×" if row.get("peer") else ""
    return ours + peer + (f"  ({row['note']})" if row.get("note") else "")


if __name__ == "__main__":
    main()
