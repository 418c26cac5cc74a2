"""What students do to a notebook without meaning harm. An exercise's answer is worth the same before and after.

A way to write puts an answer into cells; a way to save changes the whole notebook, as a program that saves it does.
"""

import ast
import re
from copy import deepcopy
from dataclasses import dataclass

from nbformat.v4 import new_code_cell, new_markdown_cell

from helpers.grading.assemble import check_cells, exercise_cells


@dataclass
class Written:
    """Where the parts of an answer stand: in its cell, in new cells above and below, at the top of the notebook."""

    cell: str
    above: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    top: tuple[str, ...] = ()


def _inner(source, name, new="inner"):
    """The answer under another name."""
    return re.sub(rf"\b{name}\b", new, source)


def _calling(name, first="", new="inner"):
    return f"def {name}(*arguments, **named):\n    {first}\n    return {new}(*arguments, **named)"


def _scratch(text):
    return lambda source, name, number, imports: Written(source, below=(text.format(name=name, number=number),))


def _in_cell(before, after=""):
    return lambda source, name, number, imports: Written(
        f"{before.format(name=name, number=number)}{source}\n{after.format(name=name, number=number)}"
    )


def helper_above(source, name, number, imports):
    helper = f"inner_{name}"
    return Written(_calling(name, new=helper), above=(_inner(source, name, helper),))


def helper_below(source, name, number, imports):
    helper = f"inner_{name}"
    return Written(_calling(name, new=helper), below=(_inner(source, name, helper),))


def helper_at_the_top(source, name, number, imports):
    helper = f"inner_{name}"
    return Written(_calling(name, new=helper), top=(_inner(source, name, helper),))


def helper_of_the_same_name(source, name, number, imports):
    return Written(f"SCALE = {number!r}\n{_inner(source, name)}\n{_calling(name, f'assert SCALE == {number!r}')}")


def everything_imported(source, name, number, imports):
    """Names all that the first cell of the lesson imports."""
    return Written(f"{_inner(source, name)}\n{_calling(name, 'imported = [' + ', '.join(imports) + ']')}")


def annotated(source, name, number, imports):
    return Written(re.sub(rf"def {name}\((\w+)", rf"def {name}(\1: Tensor", source, count=1))


def a_dataclass(source, name, number, imports):
    parts = "from dataclasses import dataclass\n\n@dataclass\nclass Parts:\n    first: int = 3\n"
    same = "import copy, pickle; assert pickle.loads(pickle.dumps(Parts())) == copy.copy(Parts(3))"
    return Written(f"{_inner(source, name)}\n{_calling(name, same)}", above=(parts,))


def postponed_annotations(source, name, number, imports):
    return Written(
        f"from __future__ import annotations\n\n{_inner(source, name)}\n"
        f"def {name}(*arguments: Unheard, **named: Of) -> Names:\n    return inner(*arguments, **named)"
    )


def scripted(source, name, number, imports):
    script = "import torch\n\n@torch.jit.script\ndef half(x: torch.Tensor) -> torch.Tensor:\n    return x * 0.5\n"
    return Written(f"{script}\n{_inner(source, name)}\n{_calling(name, 'assert half(torch.ones(1)) == 0.5')}")


def its_own_source(source, name, number, imports):
    return Written(f"import inspect\n{_inner(source, name)}\n{_calling(name, 'assert inspect.getsource(inner)')}")


def awaited(source, name, number, imports):
    one = "import asyncio\n\nasync def soon():\n    await asyncio.sleep(0)\n    return 1\n\nONE = await soon()\n"
    return Written(f"{one}\n{_inner(source, name)}\n{_calling(name, 'assert ONE == 1')}")


def a_table_filled_in_place(source, name, number, imports):
    table = "TABLE = {}\nfor word in ('a', 'b'):\n    TABLE[word] = 1\nTABLE.update(c=2)\nTABLE['d'] = 3\n"
    return Written(f"{table}\n{_inner(source, name)}\n{_calling(name, 'assert len(TABLE) == 4')}")


def a_constant_made_in_steps(source, name, number, imports):
    return Written(
        f"{_inner(source, name)}\n{_calling(name, 'assert STEPS == 6')}",
        above=("STEPS = 1\nSTEPS += 1", "STEPS = 3 * STEPS"),
    )


def a_lambda(source, name, number, imports):
    return Written(f"{_inner(source, name)}\n{name} = lambda *arguments: inner(*arguments)")


def in_a_branch(source, name, number, imports):
    indented = source.replace("\n", "\n    ")
    return Written(f"import torch\nif torch.cuda.is_available() or True:\n    {indented}")


def written_twice(source, name, number, imports):
    """A first try stays in the exercise's cell; the answer stands in a new one below."""
    return Written(f"def {name}(*arguments):\n    return None", below=(source,))


def in_a_new_cell_above(source, name, number, imports):
    return Written(f"def {name}(*arguments):\n    ...", above=(source,))


def a_long_comment(source, name, number, imports):
    lines = source.split("\n")
    return Written("\n".join([lines[0], "    # " + "why " * 60_000, *lines[1:]]))


def no_break_spaces(source, name, number, imports):
    return Written("\ufeff" + re.sub(r"^( +)", lambda found: "\u00a0" * len(found[1]), source, flags=re.MULTILINE))


def indented(source, name, number, imports):
    return Written("    " + source.replace("\n", "\n    "))


def carriage_returns(source, name, number, imports):
    return Written(source.replace("\n", "\r\n"))


def prompts(source, name, number, imports):
    first, *others = source.split("\n")
    return Written("\n".join([f">>> {first}", *(f"... {line}" for line in others)]))


WAYS_TO_WRITE = {
    "as it is": _in_cell(""),
    "a check below": _scratch("check({number!r})"),
    "time measured below": _scratch("%timeit {name}(3)"),
    "a shell command below": _scratch("!pip install einops"),
    "display below": _scratch("display({name})"),
    "a name of the lesson below": _scratch("plots.show(network)"),
    "a failing assert below": _scratch("assert {name}(0) == 1"),
    "a minute of playing below": _scratch("import time\nfor second in range(600):\n    time.sleep(1)"),
    "help below": _scratch("{name}?"),
    "the end below": _scratch("import os\nos._exit(1)"),
    "no Python below": _scratch("this is {name}, and it works ("),
    "another language below": _scratch("%%bash\nls"),
    "time measured above": _in_cell("%%time\n"),
    "output captured and time measured": _in_cell("%%capture\n%%time\n"),
    "magic in the cell": _in_cell("%matplotlib inline\n%load_ext autoreload\n", "%timeit -n1 {name}(0)\n{name}?"),
    "a shell command in the cell": _in_cell("!pip install \\\n    einops\nfiles = !ls\n"),
    "a constant timed": _in_cell("%time TWO = 1 + 1\n"),
    "the check in the cell": _in_cell("", "check({number!r})"),
    "prints and plots in the cell": _in_cell(
        "import matplotlib.pyplot as plt\n", "print({name}); plt.plot([1, 2]); 1 / 0"
    ),
    "the notebook's own names": _in_cell("print(__name__, In, Out, _)\n"),
    **{
        way.__name__.replace("_", " "): way
        for way in (
            helper_above, helper_below, helper_at_the_top, helper_of_the_same_name, everything_imported, annotated,
            a_dataclass, postponed_annotations, scripted, its_own_source, awaited, a_table_filled_in_place,
            a_constant_made_in_steps, a_lambda, in_a_branch, written_twice, in_a_new_cell_above,
            a_long_comment, no_break_spaces, indented, carriage_returns, prompts,
        )
    },
}  # fmt: skip


def imported(source):
    """The names that a cell imports."""
    nodes = [node for node in ast.parse(source).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return [(name.asname or name.name).partition(".")[0] for node in nodes for name in node.names]


def write(released, first_cell, answers, way):
    """A copy of a lesson with answers (by number, under the names asked for) written that way.

    Args:
        way: of WAYS_TO_WRITE; or such a function for each number.
    """
    notebook = deepcopy(released)
    start = next(cell for cell in notebook.cells if cell.id == first_cell)
    names = imported(start.source)
    for number, cell in exercise_cells(notebook).items():
        if number not in answers:
            continue
        name = re.search(r"def (\w+)", cell.source)[1]
        write_so = way if callable(way) else way[number]
        parts = write_so(answers[number], name, number, names)
        cell.source = parts.cell
        at = notebook.cells.index(cell)
        above, below = ([new_code_cell(text) for text in texts] for texts in (parts.above, parts.below))
        notebook.cells[at : at + 1] = [*above, cell, *below]
        notebook.cells[1:1] = [new_code_cell(text) for text in parts.top]
    return notebook


# ── Ways to save ──


def without_ids(notebook, minor=4):
    for cell in notebook.cells:
        del cell["id"]
    notebook.nbformat_minor = minor


def without_ids_or_metadata(notebook):
    without_ids(notebook)
    for cell in notebook.cells:
        cell.metadata.clear()


def without_metadata(notebook):
    for cell in notebook.cells:
        cell.metadata.clear()


def only_answers(notebook):
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code" and "check(" not in cell.source]
    without_ids_or_metadata(notebook)


def merged_with_checks(notebook):
    checks = check_cells(notebook)
    for number, cell in exercise_cells(notebook).items():
        cell.source += f"\n\n{checks[number].source}"
        notebook.cells.remove(checks[number])


def merged_into_checks(notebook):
    checks = check_cells(notebook)
    for number, cell in exercise_cells(notebook).items():
        checks[number].source = f"{cell.source}\n\n{checks[number].source}"
        notebook.cells.remove(cell)


def written_anew(notebook):
    """Exercise cells deleted, and new ones put in their place."""
    for cell in exercise_cells(notebook).values():
        notebook.cells[notebook.cells.index(cell)] = new_code_cell(cell.source)


def written_at_the_end(notebook):
    for cell in exercise_cells(notebook).values():
        notebook.cells.remove(cell)
        notebook.cells.append(new_code_cell(cell.source))


def turned_into(kind):
    def turn(notebook):
        for cell in exercise_cells(notebook).values():
            cell.cell_type = kind
            cell.pop("outputs"), cell.pop("execution_count")

    return turn


def split(notebook):
    """In the middle, as JupyterLab does it: the upper half gets a new id. What is no Python in itself stays whole."""
    for cell in exercise_cells(notebook).values():
        upper, line, lower = cell.source.rpartition("\ndef ")
        if line:
            cell.source = f"def {lower}"
            notebook.cells.insert(notebook.cells.index(cell), new_code_cell(upper, metadata=deepcopy(cell.metadata)))


def notes_between(notebook):
    for cell in exercise_cells(notebook).values():
        at = notebook.cells.index(cell)
        notebook.cells[at:at] = [new_markdown_cell("my notes: ```def```")]


WAYS_TO_SAVE = {
    "as it is": lambda notebook: None,
    **{f"as version 4.{minor}": lambda notebook, minor=minor: without_ids(notebook, minor) for minor in range(5)},
    "exercise cells raw": turned_into("raw"),
    "exercise cells markdown": turned_into("markdown"),
    **{
        way.__name__.replace("_", " "): way
        for way in (
            without_ids_or_metadata, without_metadata, only_answers, merged_with_checks, merged_into_checks,
            written_anew, written_at_the_end, split, notes_between,
        )
    },
}  # fmt: skip
