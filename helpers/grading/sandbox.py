"""Where a stranger's code runs: without network, without sight of anything but Python and the course, and within
limits. Needs bubblewrap (Linux); without it only the limits hold, and `unprotected` says what does not.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import IO

import psutil

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
AT_ONCE = 256  # sandboxes of one process
PATIENCE = 5.0  # seconds by the clock for each of processor time: others may keep the machine busy
LOOK = 0.3  # seconds between two looks at what a program uses
_slots = set(range(AT_ONCE))
_running: set[subprocess.Popen] = set()


class Excess(Exception):
    """A program has used more than it may; the message says of what."""


@dataclass(frozen=True)
class Limits:
    """What a sandboxed program may use, with all that it starts.

    Attributes:
        seconds: of processor time of one process; see `Program.within` for that of all.
        memory: bytes in all, those in /tmp and /dev/shm counted.
        file: bytes of one file; /tmp and /dev/shm may each hold four times as many.
        files: how many in each of both.
        processes: how many at once, threads counted.
    """

    seconds: int = 300
    memory: int = 2_000_000_000
    file: int = 50_000_000
    files: int = 10_000
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


def own_limits(limits: Limits, slot: int) -> dict:
    """What a program has to take upon itself, as `inside.rlimits` reads it."""
    own = asdict(limits)
    if os.geteuid() or not _bubblewrap():
        own["processes"] += _processes()
    else:
        own["user"] = _user(slot)
    return own


def wrapped(program: Sequence[str], limits: Limits, helpers: Sequence[str] | None = None) -> list[str]:
    """The command that runs `program` in the sandbox, where there is one.

    Args:
        helpers: the files of the course's package that it sees; default: all of them.
    """
    if not _bubblewrap():
        return [*program]
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
    for name, value in environment("/tmp").items():
        wrap += ["--setenv", name, value]
    return [*wrap, "--chdir", "/tmp", *program]


def environment(home: str) -> dict[str, str]:
    """What a sandboxed program needs of the environment, and nothing else."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    python = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(HELPERS.parent)}
    return kept | one | python | {"PATH": path, "HOME": home, "TMPDIR": home, "MPLCONFIGDIR": home}


def _user(slot):
    """A user that nobody else is, since processes are counted by user."""
    ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    top = max(int(first) + int(count) for first, _, count in ranges)
    low = min(200_000, top // 2)
    return low + (os.getpid() * AT_ONCE + slot) % (top - low - 1)


def _processes():
    """How many processes and threads this user has: where a program stays this user, they are counted with its own."""
    own = (p for p in psutil.process_iter(["uids", "num_threads"]) if p.info["uids"] and p.info["num_threads"])
    return sum(p.info["num_threads"] for p in own if p.info["uids"].real == os.getuid())


@dataclass(frozen=True)
class Until:
    """How long a program may take: till it has used so much processor time, or till the clock (monotonic) says so."""

    used: float
    clock: float


class Program:
    """A program in the sandbox. Whatever it says is read in bounded pieces, and what it uses is watched meanwhile.

    Attributes:
        process: that holds the sandbox.
        stdin, stdout: our ends of the program's pipes.
        forked: the process that stands for the program where that was not started by `process`, see `warm`.
    """

    def __init__(self, process: subprocess.Popen, stdin: IO, stdout: IO, limits: Limits, forked: int | None = None):
        self.process, self.stdin, self.stdout, self.forked = process, stdin, stdout, forked
        self._limits, self._looked = limits, time.monotonic()
        os.set_blocking(stdin.fileno(), False)

    def within(self, seconds: float) -> Until:
        """From now on so many seconds of processor time, of all its processes together."""
        return Until(_used(self._all()) + seconds, time.monotonic() + PATIENCE * seconds)

    def write(self, data: bytes, until: Until) -> None:
        """Write to the program's input.

        Raises:
            TimeoutError: it does not read.
            Excess: it uses more than it may.
            OSError: it has ended.
        """
        pipe, data = self.stdin, memoryview(data)
        while data:
            self._wait([], [pipe], until)
            data = data[os.write(pipe.fileno(), data[: 1 << 16]) :]

    def read(self, count: int, until: Until) -> bytes:
        """Exactly so many bytes of its output.

        Raises:
            EOFError: it has ended before.
            TimeoutError, Excess: as `write`.
        """
        data = bytearray()
        while len(data) < count:
            piece = self._piece(count - len(data), until)
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)

    def rest(self, largest: int, until: Until) -> bytes:
        """All that it still says until it ends, no more than `largest` bytes.

        Raises:
            TimeoutError, Excess: as `write`; Excess also if it says more.
        """
        self.stdin.close()
        data = bytearray()
        while piece := self._piece(1 << 20, until):
            data += piece
            if len(data) > largest:
                raise Excess(f"it says more than {largest} bytes")
        return bytes(data)

    def _piece(self, count, until):
        self._wait([self.stdout], [], until)
        return os.read(self.stdout.fileno(), min(count, 1 << 20))

    def _wait(self, readable, writable, until):
        while True:
            left = until.clock - time.monotonic()
            ready = any(select.select(readable, writable, [], max(0.0, min(LOOK, left)))[:2])
            if time.monotonic() - self._looked > LOOK:  # also when it keeps talking
                self._look(until)
            if ready:
                return
            if left <= 0:
                raise TimeoutError

    def _look(self, until):
        limits, processes = self._limits, self._all()
        files, disk = _stored(processes)
        if files > limits.files:
            raise Excess(f"it makes more than {limits.files} files")
        if _memory(processes) + disk > limits.memory:
            raise Excess(f"it needs more than {limits.memory / 1e9:.1f} GB of memory")
        if _used(processes) > until.used:
            raise TimeoutError
        self._looked = time.monotonic()

    def _all(self):
        found = []
        for pid in filter(None, (self.forked, self.process.pid)):
            with suppress(psutil.Error):
                own = psutil.Process(pid)
                found += [own, *own.children(recursive=True)]
        return found


def _used(processes):
    """Seconds of processor time so far, those of children that have ended counted."""
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])
    return total


def _memory(processes):
    """Bytes; what several processes share is counted once."""
    total = 0
    for process in processes:
        with suppress(psutil.Error):
            try:
                total += process.memory_full_info().pss
            except (psutil.AccessDenied, AttributeError):
                total += process.memory_info().rss
    return total


def _stored(processes):
    """How many files lie in a sandbox's own /tmp or /dev/shm, the larger number, and how many bytes in both."""
    files, disk = 0, 0
    for folder in ("/tmp", "/dev/shm"):
        for process in processes[-1:]:
            seen = f"/proc/{process.pid}/root{folder}"
            with suppress(OSError):
                if os.stat(seen).st_dev == os.stat(folder).st_dev:  # no sandbox, or it is not there yet
                    continue
                found = os.statvfs(seen)
                files = max(files, found.f_files - found.f_ffree)
                disk += (found.f_blocks - found.f_bfree) * found.f_frsize
    return files, disk


@contextmanager
def started(program: Sequence[str], limits: Limits, helpers: Sequence[str] | None = None) -> Iterator[Program]:
    """`program` running in the sandbox with pipes for its input and output; all of it is dead at the end."""
    with slot() as own:
        take = [sys.executable, "-m", "helpers.grading.inside.rlimits", json.dumps(own_limits(limits, own))]
        with running(wrapped([*take, *program], limits, helpers)) as process:
            yield Program(process, process.stdin, process.stdout, limits)


@contextmanager
def slot() -> Iterator[int]:
    """A number below AT_ONCE that no other sandbox of this process has now."""
    own = _slots.pop()
    try:
        yield own
    finally:
        _slots.add(own)


@contextmanager
def running(line: Sequence[str]) -> Iterator[subprocess.Popen]:
    """The process of a command, in a folder and a session of its own; all of it is dead at the end."""
    with tempfile.TemporaryDirectory(prefix="sandbox-") as folder:
        process = subprocess.Popen(
            line,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=environment(folder),
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
