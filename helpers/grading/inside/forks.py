"""A process that has imported a program and, whenever it is asked, forks into a sandbox and runs it there: nobody waits
for Python and torch. It lies outside of every sandbox, and never runs a line of a stranger's.

python -P -m helpers.grading.inside.forks MODULE SOCKET
"""

import ctypes
import gc
import json
import os
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from types import ModuleType

from helpers.grading.inside.rlimits import take

# kinds of namespaces, as `setns` has them; those of SHARED may be ours in a sandbox as well, the others may not
SPACES = {"mnt": 0x00020000, "uts": 0x04000000, "ipc": 0x08000000, "pid": 0x20000000, "net": 0x40000000}
SHARED = {"user": 0x10000000, "cgroup": 0x02000000}
SET_DUMPABLE, SET_NO_NEW_PRIVILEGES = 4, 38  # of `prctl`
CAPABILITIES = 0x20080522  # the version of `capset` that takes three words twice
HOMES = ("HOME", "TMPDIR", "MPLCONFIGDIR")
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as home:  # what an import writes, nobody sees
        os.environ.update(dict.fromkeys(HOMES, home))
        module = import_module(sys.argv[1])
    os.environ.update(dict.fromkeys((*HOMES, "PWD"), "/tmp"))
    tempfile.tempdir = None  # it is found anew
    if len(os.listdir("/proc/self/task")) > 1:
        sys.exit("a program with threads cannot be forked")
    gc.collect()
    gc.freeze()  # forks share what is here, and need not look through it for garbage
    serve(module, socket.socket(fileno=int(sys.argv[2])))


def serve(module: ModuleType, channel: socket.socket) -> None:
    """Fork `module.main` whenever a message comes, until nobody is left to send one.

    A message says the `holder`, a process in the sandbox, the `limits` and the `arguments`, and brings two pipes, for
    input and output. The answer is the process that stands for the program out here, or the problem.
    """
    while True:
        message, pipes, *_ = socket.recv_fds(channel, 1 << 16, 2)
        if not message:
            return
        with suppress(ChildProcessError):  # those that have ended since
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not os.fork():
            try:
                _run(module, channel, json.loads(message), *pipes)
            except Exception as problem:  # before the program has begun: it is ours
                channel.send(json.dumps({"problem": f"{type(problem).__name__}: {problem}"}).encode())
            finally:
                os._exit(1)
        for pipe in pipes:
            os.close(pipe)


def _run(module, channel, request, reader, writer):
    os.dup2(reader, 0)
    os.dup2(writer, 1)
    holder = os.pidfd_open(request["holder"])
    _enter(request["holder"], holder)
    outside = os.getpid()
    if program := os.fork():  # only what is forked now is in the sandbox's own space of processes
        os.closerange(0, holder)
        os.closerange(holder + 1, 1 << 20)
        os.waitpid(program, 0)
        signal.pidfd_send_signal(holder, signal.SIGKILL)  # the program's end is the end of its sandbox
        os._exit(0)
    os.setsid()
    os.chdir("/tmp")
    take(request["limits"])
    _give_up_rights()
    channel.send(json.dumps({"forked": outside}).encode())
    channel.detach()
    os.closerange(3, 1 << 20)
    sys.argv = [module.__file__, *request["arguments"]]
    sys.path.insert(0, "/tmp")  # as for a program that is started there
    try:
        module.main()
    finally:
        os._exit(0)


def _enter(pid, holder):
    """Go where a process is; refuse unless that is a sandbox."""
    away = {
        kind: flag
        for kind, flag in (SPACES | SHARED).items()
        if os.stat(f"/proc/self/ns/{kind}").st_ino != os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    }
    if missing := SPACES.keys() - away.keys():
        raise RuntimeError(f"this is no sandbox: {', '.join(sorted(missing))}")
    _call(_libc.setns, holder, sum(away.values()))


def _give_up_rights():
    """What bubblewrap and a new program would have taken away."""
    _call(_libc.prctl, SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _call(_libc.capset, (ctypes.c_uint32 * 2)(CAPABILITIES, 0), (ctypes.c_uint32 * 6)())
    _call(_libc.prctl, SET_DUMPABLE, 1, 0, 0, 0)  # as any program is: what it uses can be seen


def _call(function, *arguments):
    if function(*(ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments)):
        raise OSError(ctypes.get_errno(), f"{function.__name__}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
