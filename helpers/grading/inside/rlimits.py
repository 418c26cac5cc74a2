"""Take limits upon oneself, then become another program.

python -m helpers.grading.inside.rlimits '{"memory": …}' program …
"""

import json
import os
import resource
import sys


def main() -> None:
    take(json.loads(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])


def take(limits: dict) -> None:
    """Hold this process, and all that it starts, to what `sandbox.own_limits` says."""
    set_limit(resource.RLIMIT_DATA, limits["memory"])
    set_limit(resource.RLIMIT_FSIZE, limits["file"])
    set_limit(resource.RLIMIT_CPU, limits["seconds"])
    set_limit(resource.RLIMIT_CORE, 0)
    if limits.get("user") is not None:  # no limit of processes holds for root
        os.setgroups([])
        os.setresgid(*[limits["user"]] * 3)
        os.setresuid(*[limits["user"]] * 3)
    set_limit(resource.RLIMIT_NPROC, limits["processes"])


def set_limit(kind, value):
    """Lower a limit; one that is lower already stays."""
    _, hard = resource.getrlimit(kind)
    value = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
    resource.setrlimit(kind, (value, value))


if __name__ == "__main__":
    main()
