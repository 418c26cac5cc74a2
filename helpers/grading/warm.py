"""Programs that need not start: a process that has imported one forks it into a sandbox made for that fork alone. What
a program leaves behind ends with its sandbox, and the one that forks was never in reach of it.
"""

import fcntl
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from helpers.grading import sandbox
from helpers.grading.sandbox import PATIENCE, Limits, Program, started

STARTING = 60.0  # seconds of processor time that imports may take
HOLD = ("cat",)  # keeps a sandbox open as long as its input is, and says back that it is there


class Ready:
    """A module of the course whose `main` runs in sandboxes, again and again.

    Without bubblewrap, or where the system forbids to enter a sandbox, each run is a fresh process instead.
    """

    def __init__(self, module: str, helpers: Sequence[str] | None = None):
        """
        Args:
            helpers: the files of the course's package that it sees; default: all of them.
        """
        self.module, self.helpers = module, helpers
        self._lock, self._source, self._cold = threading.Lock(), None, False

    def prepare(self) -> None:
        """Begin to import what `running` will need, and do not wait for it."""
        if self._lock.acquire(blocking=False):  # else somebody waits for it already
            try:
                if not (self._cold or self._source or sandbox.unprotected()):
                    with suppress(OSError):
                        self._source = _Source(self.module)
            finally:
                self._lock.release()

    @contextmanager
    def running(self, limits: Limits, *arguments: str) -> Iterator[Program]:
        """The program in a new sandbox, with pipes for its input and output; all of it is dead at the end."""
        if not self._cold and not sandbox.unprotected():
            with self._forked(limits, arguments) as program:
                if program:
                    yield program
                    return
        with started([sys.executable, "-m", self.module, *arguments], limits, self.helpers) as program:
            yield program

    @contextmanager
    def _forked(self, limits, arguments):
        """The program where it can be forked, and otherwise None."""
        with sandbox.slot() as slot, sandbox.running(sandbox.wrapped(HOLD, limits, self.helpers)) as process:
            holder = _open(process)
            (reader, stdin), (stdout, writer) = os.pipe(), os.pipe()
            with open(stdin, "wb", 0) as stdin, open(stdout, "rb", 0) as stdout:
                request = {"holder": holder, "limits": sandbox.own_limits(limits, slot), "arguments": arguments}
                try:
                    forked = self._fork(json.dumps(request).encode(), [reader, writer])
                finally:
                    os.close(reader)
                    os.close(writer)
                yield forked and Program(process, stdin, stdout, limits, forked)

    def _fork(self, request, pipes):
        """The process that was forked, or None: then it is not tried again. One that was killed gets a successor."""
        with self._lock:
            for _ in range(2):
                try:
                    self._source = self._source or _Source(self.module)
                    reply = self._source.ask(request, pipes)
                    break
                except OSError:
                    self._end()
            else:
                reply = {}
            if "forked" not in reply:
                self._cold = True
                self._end()
            return reply.get("forked")

    def _end(self):
        if self._source:
            self._source.end()
        self._source = None


class _Source:
    """The process that has imported a program, see `inside.forks`."""

    def __init__(self, module):
        self._channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(PATIENCE * STARTING)
        python = _sealed(sys.executable)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "helpers.grading.inside.forks", module, str(other.fileno())],
                executable=f"/proc/self/fd/{python}",
                pass_fds=(python, other.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=sandbox.environment(tempfile.gettempdir()),
                start_new_session=True,
            )
        except BaseException:
            self._channel.close()
            raise
        finally:
            os.close(python)
            other.close()

    def ask(self, request, pipes):
        """What it answers.

        Raises:
            OSError: it has ended, or keeps silent.
        """
        socket.send_fds(self._channel, [request], pipes)
        reply = self._channel.recv(1 << 16)
        if not reply:
            raise OSError("it has ended")
        return json.loads(reply)

    def end(self):
        self._channel.close()
        self._process.kill()
        self._process.wait()


def _sealed(program):
    """A file that holds a program and that nobody can write to.

    What is forked reaches, as /proc/self/exe, the file that its process was started from: no stranger's may be the
    teacher's own.
    """
    copy = os.memfd_create("python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(copy, "wb", closefd=False) as file:
            file.write(Path(program).read_bytes())
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    except BaseException:
        os.close(copy)
        raise
    return copy


def _open(process):
    """The process that holds a sandbox, as soon as this is made.

    Raises:
        OSError: it cannot be made.
    """
    with suppress(BrokenPipeError):
        process.stdin.write(b"\n")
    if not select.select([process.stdout], [], [], PATIENCE * STARTING)[0] or process.stdout.read(1) != b"\n":
        raise OSError("a sandbox cannot be made")
    return psutil.Process(process.pid).children(recursive=True)[-1].pid
