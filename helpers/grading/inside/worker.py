"""The process that runs a stranger's answers, inside the sandbox: it defines them and calls them, and knows nothing
else. Whether an answer is right is decided elsewhere.
"""

import __future__

import ast
import asyncio
import inspect
import os
import sys
import tempfile
from importlib.machinery import ModuleSpec
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType

import torch

from helpers.exercises.calls import ASKED_FOR, NotAttempted, NotYet, answer, find
from helpers.grading.inside.wire import receive, send


class Refused:
    """Stands for a technique of the course: whoever calls it is told to write the lines himself."""

    def __init__(self, name: str):
        self._name = name

    def __call__(self, *arguments, **named):
        raise NotYet(f"it calls {self._name}: write the lines yourself")

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Refused(f"{self._name}.{name}")


class Techniques:
    """Finds, last of all, the modules of the course that are not here: whatever is taken from them is `Refused`."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        return ModuleSpec(name, Techniques, is_package=True) if name.startswith("helpers.") else None

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        module.__getattr__ = Refused(module.__name__).__getattr__


def refuse_what_is_asked_for() -> None:
    """From now on, techniques that are not here and functions that exercises ask for can be imported, not called."""
    for name in ASKED_FOR:
        holder, _, function = f"helpers.{name}".rpartition(".")
        setattr(resolve_name(holder), function, Refused(f"helpers.{name}"))
    sys.meta_path.append(Techniques)


def define(source: str, name: str) -> tuple[dict, str]:
    """The namespace of a module called `name`, and what kept one of its statements from running, or "".

    Every statement is run, those behind one that raises as well.

    Raises:
        NotYet: the source is no Python.
    """
    module = ModuleType(name)
    path = Path(tempfile.gettempdir(), f"{name}.py")  # for `inspect.getsource`, which `torch.jit.script` asks
    path.write_text(source, encoding="utf-8")
    module.__file__ = str(path)
    sys.modules[name] = module
    try:
        tree = ast.parse(source, path)
    except Exception as error:
        raise NotYet(f"its cell raises {type(error).__name__}") from None
    flags, problem = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, ""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            flags |= sum(getattr(__future__, each.name).compiler_flag for each in node.names)
            continue
        try:
            code = compile(ast.Module([node], []), str(path), "exec", flags, dont_inherit=True)
            running = eval(code, module.__dict__)
            if inspect.iscoroutine(running):
                asyncio.run(running)
        except (Exception, SystemExit) as error:
            problem = problem or f"its cell raises {type(error).__name__}"
    return module.__dict__, problem


def serve(reader, writer) -> None:
    """Answer requests until there are no more.

    ("define", key, source) makes a module; ("call", key, name, arguments) calls a function in it. The reply is a pair:
    "ok" and the answer, "blank" and None, or "wrong" and a message.
    """
    modules = {}

    def read(count):
        data = reader.read(count)
        if len(data) < count:
            raise EOFError
        return data

    while True:
        try:
            kind, key, *rest = receive(read)
        except EOFError:
            return
        try:
            if kind == "define":
                modules[key] = define(rest[0], f"answer_{key.replace('.', '_')}")
                reply = ("ok", None)
            else:
                reply = ("ok", answer(_find(rest[0], *modules[key]), rest[1]))
        except NotAttempted:
            reply = ("blank", None)
        except NotYet as problem:
            reply = ("wrong", str(problem))
        send(writer, reply)


def _find(name, space, problem):
    try:
        return find(name, space)
    except NotAttempted:
        if problem:
            raise NotYet(problem) from None
        raise


def main() -> None:
    torch.set_num_threads(1)
    # the judge's pipes are put out of the way of print and input
    reader, writer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    refuse_what_is_asked_for()
    serve(reader, writer)


if __name__ == "__main__":
    main()
