"""The process that runs a stranger's answers, inside the sandbox: it defines them and calls them, and knows nothing
else. Whether an answer is right is decided elsewhere.
"""

import math
import os

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from helpers.exercises.calls import NotAttempted, NotYet, answer, find
from helpers.grading.inside.wire import receive, send


def serve(reader, writer) -> None:
    """Answer requests until there are no more.

    ("define", source) runs a cell; ("call", name, arguments) calls a function. The reply is a pair: "ok" and the
    answer, "blank" and None, or "wrong" and a message.
    """
    space = {"__name__": "answer", "torch": torch, "math": math, "np": np, "numpy": np, "F": F, "nn": nn}

    def read(count):
        data = reader.read(count)
        if len(data) < count:
            raise EOFError
        return data

    while True:
        try:
            request = receive(read)
        except EOFError:
            return
        try:
            if request[0] == "define":
                reply = _define(request[1], space)
            else:
                function = find(request[1], space)
                reply = ("ok", answer(function, request[2]))
        except NotAttempted:
            reply = ("blank", None)
        except NotYet as problem:
            reply = ("wrong", str(problem))
        send(writer, reply)


def _define(source, space):
    try:
        exec(compile(source, "<answer>", "exec"), space)
    except (Exception, SystemExit) as error:
        raise NotYet(f"its cell raises {type(error).__name__}") from None
    return ("ok", None)


def main() -> None:
    torch.set_num_threads(1)
    # the judge's pipes are put out of the way of print and input
    reader, writer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    serve(reader, writer)


if __name__ == "__main__":
    main()
