"""Names that statements bind and look up, against what the compiler makes of them; and a cell as Jupyter runs it."""

import ast
import builtins
import contextlib
import dis
import time
import types
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from helpers.core.lessons import ROOT
from helpers.grading.statements import parsed, statements


def one(source):
    (found,) = statements(source, 0, 0)
    return found


def compiled(node):
    """What a statement's code stores, looks up when it runs, and what the functions in it look up."""
    module = ast.fix_missing_locations(ast.Module([node], []))
    code = compile(module, "statement", "exec", dont_inherit=True)
    stores = {step.argval for step in dis.get_instructions(code) if step.opname in ("STORE_NAME", "STORE_GLOBAL")}
    return stores, *looked_up(code)


def looked_up(code):
    now = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_NAME"}
    later = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            one, other = looked_up(inner)
            now, later = now | one, later | other
    return now, later


SOURCES = [*(ROOT / "helpers").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), Path(ast.__file__), Path(dis.__file__)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_names_are_those_that_the_compiler_finds(path):
    source = path.read_text()
    found = statements(source, 0, 0)
    nodes = [one for node in ast.parse(source).body for one in apart(node)]
    assert [statement.at for statement in found] == list(range(len(nodes)))
    implicit = {"__name__", "__module__", "__qualname__", "__doc__", "__annotations__", "__static_attributes__"}
    for statement, node in zip(found, nodes, strict=True):
        assert ast.dump(ast.parse(statement.source).body[0]) == ast.dump(node)
        binds, now, later = compiled(node)
        assert statement.binds - {"*"} >= binds - implicit and not statement.binds - {"*"} - binds, statement.source
        ours = statement.loads | statement.later
        assert ours >= (now | later) - implicit - own(node), statement.source
        assert not ours - now - later - {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - words(node)


def apart(node):
    if not isinstance(node, (ast.Import, ast.ImportFrom)):
        return [node]
    return [type(node)(**{**dict(ast.iter_fields(node)), "names": [name]}) for name in node.names]


def own(node):
    """What classes in a statement bind: their bodies look it up as if it were outside."""
    classes = [n for n in ast.walk(node) if isinstance(n, ast.ClassDef)]
    return {name for each in classes for name in compiled_body(each)}


def compiled_body(node):
    return {n.name for n in node.body if hasattr(n, "name")} | {
        n.id for part in node.body for n in ast.walk(part) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


def words(node):
    """The names in annotations that are written as strings."""
    texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    found = set()
    for text in texts:
        with contextlib.suppress(SyntaxError, ValueError):
            found |= {n.id for n in ast.walk(ast.parse(text, mode="eval")) if isinstance(n, ast.Name)}
    return found


@pytest.mark.parametrize(
    ("source", "loads", "later"),
    [
        ("def f(x, y=size): return x + scale", {"size"}, {"scale"}),
        ("def f(x):\n    def g(y): return x + y + z\n    return g", set(), {"z"}),
        ("@cached\ndef f(x: Tensor) -> 'Tensor | None': ...", {"cached", "Tensor"}, set()),
        ("f = lambda x, k=K: x + k + c", {"K"}, {"c"}),
        ("kept = [a * b for a in rows if a > low]", {"b", "rows", "low"}, set()),
        ("w = [w for w in w]", {"w"}, set()),
        ("scale *= two", {"scale", "two"}, set()),
        ("def f():\n    global count\n    count += 1", set(), {"count"}),
        ("def f():\n    import math\n    return math.pi + pi", set(), {"pi"}),
        ("class A(Base):\n    size = size\n    def f(self): return size", {"Base", "size"}, {"size"}),
        ("try:\n    import fast\nexcept E as error:\n    print(error)", {"E", "print", "error"}, set()),
        ("match x:\n    case [a, *b] | {'k': a, **b} if a: y = a", {"x", "a"}, set()),
        ("def f():\n    return (n := 3) + n", set(), set()),
        ("one = await first()", {"first"}, set()),
    ],
)  # fmt: skip
def test_names_by_hand(source, loads, later):
    found = one(source)
    assert (found.loads, found.later) == (loads, later)


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("table['a'].b = 1", {"table"}),
        ("for k in keys:\n    table[k] = 1", {"table"}),
        ("table.update(a=1)", {"table"}),
        ("del table['a']", {"table"}),
        ("with a as b:\n    b.x += 1", {"b"}),
        ("print(table.keys())", set()),
        ("def f(): table.clear()", set()),
        ("helper(table)", set()),
    ],
)
def test_what_changes_a_value_from_within(source, changes):
    assert one(source).changes == changes


@pytest.mark.parametrize(
    ("body", "blank"),
    [("...", True), ("pass", True), ("'words'", True), ("return", True), ("return None", True), ("return 0", False),
     ("'words'\n    ...", True), ("x = 1", False)],
)  # fmt: skip
def test_a_function_that_does_nothing_is_blank(body, blank):
    assert one(f"def f(x):\n    {body}").blank is blank


MAGIC = [
    "%timeit f(x)\ny = 1",
    "!pip install x\ny = 1",
    "files = !ls\ny = 1",
    "here = %pwd\ny = 1",
    "f?\ny = 1",
    "?f\ny = 1",
    "f??",
    "!pip install \\\n    x\ny = 1",
    "if True:\n    %time z = 1\n    y = 2",
    "    y = 1\n    z = 2",
    ">>> y = 1\n>>> z = 2",
    "In [3]: y = 1",
    "%%bash\nls",
    "text = '''\n%no magic\n!none\n'''\ny = a \\\n  % b",
]


@pytest.mark.parametrize("source", MAGIC)
def test_a_cell_is_read_as_jupyter_runs_it(source):
    names = {n.id for n in ast.walk(ast.parse(TransformerManager().transform_cell(source))) if isinstance(n, ast.Name)}
    found = {word for s in statements(source, 0, 0) for word in s.binds | s.loads}
    assert names - set(dir(builtins)) - {"get_ipython"} <= found


@pytest.mark.parametrize(
    ("source", "clean"),
    [
        ("%%time\ny = 1", "y = 1"),
        ("\n%%capture out\n%%timeit -n 3\ny = 1", "y = 1"),
        ("%time y = 1", "y = 1"),
        ("\n    y = 1\n    z = 2\n\nw = 3", "y = 1\nz = 2\n\nw = 3"),  # as older versions of IPython have it
        ("\ufeffy\u00a0=\u00a01", "y = 1"),
        ("y = 1\r\n", "y = 1"),
        ("y = '\u00a0'", "y = '\u00a0'"),
        ("%%html\n<b>", ""),
    ],
)
def test_what_is_no_python_is_made_so(source, clean):
    assert parsed(source)[1].strip() == clean


@pytest.mark.parametrize(
    "source", ["y = (", "this is no python", "\0", "x = " + "-" * 60_000 + "1", "x" + ".y" * 60_000]
)
def test_what_cannot_be_read_is_one_error(source):
    with pytest.raises(SyntaxError):
        statements(source, 0, 0)


def test_much_magic_is_refused_soon():
    start = time.process_time()
    with pytest.raises(SyntaxError):
        parsed("%time\n" * 5000 + "(")
    assert time.process_time() - start < 5


def test_statements_on_one_line_are_taken_apart():
    assert [s.source for s in statements("a = 1; b = 2\nc = 3", 0, 0)] == ["a = 1", "b = 2", "c = 3"]
    assert [s.source for s in statements("import a, b.c as d\nfrom e import f, g as h", 0, 0)] == [
        "import a",
        "import b.c as d",
        "from e import f",
        "from e import g as h",
    ]
