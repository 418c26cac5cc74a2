"""nbval over one notebook, inside the sandbox: the notebook comes in as text, what its checks say goes out as JSON.

Whoever wrote the notebook may forge what goes out; it informs, and the judge decides. On Linux the kernel is a fork of
this process, for which everything that a notebook imports is imported here; elsewhere forks are not safe.
"""

import json
import os
import signal
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from ipykernel.kernelapp import IPKernelApp
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

from helpers.exercises.exercise import exercises
from helpers.grading import nbval_plugin

STARTING = 60.0  # seconds that the imports may take
OPTIONS = ["-p", "nbval.plugin", "--nbval-lax", "--nbval-current-env", "-q", "--color=no"]
OPTIONS += ["-p", "no:cacheprovider", "--rootdir=."]
exercises()  # with all that checks import


class Session:
    """Gives an exercise its time, and keeps what the plugin has found when pytest is done."""

    def __init__(self, seconds: float):
        self.seconds, self.found = seconds, {}

    def pytest_runtest_setup(self, item):
        item.config.option.nbval_cell_timeout = self.seconds if "exercise" in item.cell.metadata else STARTING

    def pytest_sessionfinish(self, session):
        self.found = session.config.stash.get(nbval_plugin.results, {})


class Kernel:
    """A kernel forked before pytest, threads or sockets are there, which begins when it is told how; as a `Popen`."""

    stdin = stdout = stderr = None

    def __init__(self):
        orders, self._orders = os.pipe()
        self.pid, self.returncode = os.fork(), None
        if not self.pid:
            try:
                os.close(self._orders)
                self._begin(orders)
            finally:
                os._exit(1)
        os.close(orders)

    @staticmethod
    def _begin(orders):
        _silence()  # what is said to the judge is not the kernel's to say
        with open(orders, encoding="utf-8") as file:
            if told := file.read():
                IPKernelApp.launch_instance(argv=json.loads(told))

    def begin(self, arguments: list[str]) -> None:
        with open(self._orders, "w", encoding="utf-8") as file:
            json.dump(arguments, file)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class Forked(LocalProvisioner):
    """Takes the kernel that is there for the one that jupyter_client would start."""

    kernel: Kernel

    async def launch_kernel(self, cmd, **options):
        self.process, self.pid = self.kernel, self.kernel.pid
        self.kernel.begin(cmd[cmd.index("-f") :])
        return self.connection_info


def _silence():
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def main() -> None:
    name, seconds = sys.argv[1:3]
    if sys.platform == "linux":
        Forked.kernel = Kernel()
        factory = KernelProvisionerFactory.instance()
        factory.provisioners["forked"] = EntryPoint("forked", f"{__name__}:Forked", factory.GROUP_NAME)
        factory.default_provisioner_name = "forked"
    Path(name).write_text(sys.stdin.read(), encoding="utf-8")
    answer = os.fdopen(os.dup(1), "w")
    _silence()
    session = Session(float(seconds))
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # nbval is all that it needs
    pytest.main([*OPTIONS, name], plugins=[nbval_plugin, session])
    json.dump(session.found.get(name, {}), answer)
    answer.flush()


if __name__ == "__main__":
    main()
