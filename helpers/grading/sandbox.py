"""Where a stranger's code runs: without network, without sight of anything but Python and the course, and within
limits. Needs bubblewrap (Linux); without it only the limits hold, and `unprotected` says what does not.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from itertools import count
from pathlib import Path

from helpers.exercises.calls import GIVEN

HELPERS = Path(__file__).parent.parent
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/fonts", "/etc/ld.so.cache")
PACKAGES = ("", "core", "exercises", "grading")  # those that what is given lies in
# all that an answer's process sees of the course: what answers may stand on, and the folder `inside`
FOR_ANSWERS = (
    *(str(Path(package) / "__init__.py") for package in PACKAGES),
    *(f"{name.replace('.', '/')}.py" for name in GIVEN),
    *(str(path.relative_to(HELPERS)) for path in sorted((HELPERS / "grading" / "inside").glob("*.py"))),
)
_users = count()
_running: set[subprocess.Popen] = set()


@dataclass(frozen=True)
class Limits:
    """What a sandboxed program may use.

    Attributes:
        seconds: of processor time; the caller watches the clock.
        memory: bytes of data.
        file: bytes of one file; all files together may have four times as many.
        processes: how many at once, threads counted.
    """

    seconds: int = 300
    memory: int = 2_000_000_000
    file: int = 50_000_000
    processes: int = 200


def unprotected() -> str:
    """What the sandbox of this machine does not keep off, in one line; empty with bubblewrap."""
    if _bubblewrap():
        return ""
    return (
        "bubblewrap is not here: answers run within limits of time, memory and file size, but can call the course's "
        "own functions, read and delete your files, use the network and, if you are root, start processes without "
        "end. Grade only what you trust, or install bubblewrap"
    )


@cache
def _bubblewrap():
    """The path of a bubblewrap that works here, or None; some systems forbid it."""
    path = shutil.which("bwrap")
    test = ["--ro-bind", "/", "/", "--unshare-all", "--dev", "/dev", "true"]
    return path if path and subprocess.run([path, *test], capture_output=True).returncode == 0 else None


def command(program: Sequence[str], limits: Limits, helpers: Sequence[str] | None = None) -> list[str]:
    """The command that runs `program` in the sandbox.

    Args:
        helpers: the files of the course's package that it sees; default: all of them.
    """
    own = asdict(limits) | {"user": 200_000 + os.getpid() % 10_000 * 10 + next(_users) % 10}
    if os.geteuid() or not _bubblewrap():
        del own["user"]
    limited = [sys.executable, "-m", "helpers.grading.inside.rlimits", json.dumps(own), *program]
    if not _bubblewrap():
        return limited
    seen = [p for p in (*SYSTEM, sys.prefix, sys.base_prefix) if Path(p).exists()]
    # root changes into a user of its own, which a user namespace would not know
    spaces = ["--unshare-all"] if os.geteuid() else [f"--unshare-{kind}" for kind in ("ipc", "pid", "net", "uts")]
    wrap = [_bubblewrap(), "--die-with-parent", "--new-session", *spaces, "--clearenv", "--hostname", "sandbox"]
    wrap += ["--proc", "/proc", "--dev", "/dev"]
    # before what is bound, which may itself lie under /tmp
    for path in ("/tmp", "/dev/shm"):
        wrap += ["--perms", "1777", "--size", str(4 * limits.file), "--tmpfs", path]
    above = {str(parent) for path in (*seen, HELPERS) for parent in Path(path).parents} - {"/"}
    for path in sorted(above):
        wrap += ["--perms", "0755", "--dir", path]  # made by themselves they would be closed to another user
    for path in seen:
        wrap += ["--ro-bind", path, path]
    if helpers is None:
        wrap += ["--ro-bind", str(HELPERS), str(HELPERS)]
    else:
        wrap += ["--perms", "0755", "--tmpfs", str(HELPERS)]  # where the package lies in sys.prefix, this hides it
        for folder in sorted({str((HELPERS / name).parent) for name in helpers}):
            wrap += ["--perms", "0755", "--dir", folder]
        for name in helpers:
            wrap += ["--ro-bind", str(HELPERS / name), str(HELPERS / name)]
        wrap += ["--remount-ro", str(HELPERS)]
    wrap += ["--remount-ro", "/"]
    for name, value in _environment("/tmp").items():
        wrap += ["--setenv", name, value]
    return [*wrap, "--chdir", "/tmp", *limited]


def _environment(home):
    """Names of the environment that a sandboxed program needs, and no other."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    python = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(HELPERS.parent)}
    return kept | one | python | {"PATH": path, "HOME": home, "TMPDIR": home, "MPLCONFIGDIR": home}


@contextmanager
def started(program: Sequence[str], limits: Limits, helpers: Sequence[str] | None = None) -> Iterator[subprocess.Popen]:
    """`program` running in the sandbox with pipes for its input and output; all of it is dead at the end."""
    with tempfile.TemporaryDirectory(prefix="sandbox-") as folder:
        process = subprocess.Popen(
            command(program, limits, helpers),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
            bufsize=0,
        )
        _running.add(process)
        try:
            yield process
        finally:
            _kill(process)
            _running.discard(process)
            process.stdin.close()
            process.stdout.close()
            process.wait()


def kill_all() -> None:
    """End every sandboxed program that this process has started."""
    for process in list(_running):
        _kill(process)


def _kill(process):
    """The program and what it has left running: its group, for bubblewrap's end is the end of all that it holds."""
    with suppress(ProcessLookupError, PermissionError):  # macOS forbids what is dead already
        os.killpg(process.pid, signal.SIGKILL)
