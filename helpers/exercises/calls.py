"""Calling a reader's function: on copies, in silence, and watching that it does the work itself."""

import contextlib
import dis
import inspect
import io
import os
import sys
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor

HELPERS = Path(__file__).parent.parent
# What any answer may stand on: the modules of the course that its process sees, and that a check lets it call.
GIVEN = (
    "core.activations",
    "core.arguments",
    "core.compute",
    "core.downloads",
    "core.folding",
    "core.images",
    "core.networks",
    "core.registry",
    "core.steps",
    "exercises.calls",
    "exercises.toys",
)
# in a given module, but exercises are to write them
ASKED_FOR = ("core.activations.distance", "core.images.psnr", "core.networks.Network.receptive_field")


class NotAttempted(Exception):
    """There is no answer yet."""


class NotYet(Exception):
    """The answer is not right; the message names the likely mistake in one line.

    Attributes:
        difference: for a teacher: where the answer differs, with what should stand there.
    """

    def __init__(self, message: str = "", difference: str = ""):
        super().__init__(message)
        self.difference = difference


def is_blank(function) -> bool:
    """Whether a function does nothing: its body is `...`, `pass`, `return` or a docstring alone."""
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    idle = {"RESUME", "NOP", "POP_TOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}
    steps = list(dis.get_instructions(code))
    loaded = [step.argval for step in steps if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    return all(step.opname in idle for step in steps) and all(value in (None, ...) for value in loaded)


def answer(function, arguments: tuple):
    """What `function` returns for copies of `arguments`.

    Where that is one tensor through which gradients flow back to arguments that ask for them, its attribute `slopes`
    is the list of those gradients of its sum: they outlive the way to another process, the graph does not.

    Raises:
        NotAttempted: it is blank or raises NotImplementedError.
        NotYet: it raises, changes what it was given, or lets the course's own function do the work. One that is raised
            inside is passed on.
    """
    if is_blank(function):
        raise NotAttempted
    given = deepcopy(arguments)
    problem = None
    with torch.enable_grad(), _silence(), _watched() as ours:
        try:
            found = function(*given)
            _note_slopes(found, given)
        except NotImplementedError:
            problem = NotAttempted()
        except NotYet as raised:
            problem = raised
        except (Exception, SystemExit) as error:
            problem = NotYet(f"it raises {type(error).__name__}{_first_line(error)}")
    if ours:  # told even if it fails then, as it does where the course's own function is out of reach
        raise NotYet(f"it calls {ours[0]}: write the lines yourself")
    if problem:
        raise problem from None
    changed = not _same(given, arguments) or (
        # an old gradient that shows in the answer is for the check to tell; one that is only cleared is told here
        not _same(_gradients(given), _gradients(arguments))
        and isinstance(found, Tensor)
        and _same(answer(function, _without_gradients(arguments)), found)
    )
    if changed:
        raise NotYet("it changes what it was given; work on a copy")
    return found


def _gradients(arguments):
    """The gradients that came along with tensors, where there are any."""
    return [each.grad for each in arguments if isinstance(each, Tensor) and each.is_leaf]


def _without_gradients(arguments):
    fresh = deepcopy(arguments)
    for each in fresh:
        if isinstance(each, Tensor) and each.is_leaf:
            each.grad = None
    return fresh


def _note_slopes(found, given):
    asking = [each for each in given if isinstance(each, Tensor) and each.requires_grad]
    if not (asking and isinstance(found, Tensor) and found.requires_grad):
        return
    with contextlib.suppress(Exception):  # a graph that cannot be walked has no slopes
        found.slopes = list(torch.autograd.grad(found.sum(), asking, retain_graph=True, allow_unused=True))


def _first_line(error):
    lines = str(error).strip().splitlines()
    return f": {lines[0][:160]}" if lines else ""


@contextlib.contextmanager
def _silence():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def _watched():
    """Collects the names of the course's techniques that are called meanwhile."""
    called, before = [], sys.getprofile()

    def note(frame, event, _):
        room = _room(frame) if event == "call" else None
        if room is None:
            return
        name = f"{room}.{frame.f_code.co_qualname}"
        if (room not in GIVEN or name in ASKED_FOR) and not _is_import(frame):
            called.append(f"helpers.{name}")

    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(before)


def _room(frame):
    """The module of `helpers` that a frame runs, or None."""
    path = frame.f_code.co_filename
    inside = path.startswith(f"{HELPERS}{os.sep}")
    room = ".".join(Path(path).relative_to(HELPERS).with_suffix("").parts) if inside else None
    return room and room.removesuffix(".__init__")


def _is_import(frame):
    """Whether a frame runs only because a module of `helpers` is being imported."""
    while frame and not (_room(frame) and frame.f_code.co_name == "<module>"):
        frame = frame.f_back
    return frame is not None


def _same(given, before):
    """Whether things are what they were, bit for bit. Where there was None, anything may have come."""
    if isinstance(before, Tensor):
        if not isinstance(given, Tensor):
            return False
        return given.shape == before.shape and torch.equal(given.nan_to_num(), before.nan_to_num())
    if isinstance(before, (list, tuple)):
        return len(given) == len(before) and all(map(_same, given, before))
    if isinstance(before, dict):
        return given.keys() == before.keys() and all(_same(given[key], before[key]) for key in before)
    return True


def find(name: str, namespace: dict):
    """The reader's function `name`.

    Raises:
        NotAttempted: there is none, or it is blank.
        NotYet: the name stands for something that cannot be called.
    """
    found = namespace.get(name)
    if found is None or found is ... or is_blank(found):
        raise NotAttempted
    if not callable(found) or inspect.isclass(found):
        raise NotYet(f"{name} must be a function, not {type(found).__name__}")
    return found
