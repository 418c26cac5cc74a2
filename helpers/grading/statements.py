"""A cell's code as statements, with the names that each binds and looks up. Nothing is run, nor compiled."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from IPython.core.inputtransformer2 import TransformerManager, classic_prompt, ipython_prompt

MEASURING = ("time", "timeit", "capture", "prun")  # what follows these is Python that runs
MAGIC = re.compile(r"^[ \t]*(?:[%!?]|\w+ *= *[%!])|\?[ \t]*$", re.MULTILINE)
LARGEST_WITH_MAGIC = 1_000_000  # characters × lines of magic: each is looked for from the top
SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2007": " ", "\u200b": None, "\ufeff": None, "\u2060": None})


@dataclass(frozen=True, eq=False)
class Statement:
    """A top-level statement.

    Attributes:
        at: its place among all statements of the notebook.
        cell: the number of its cell.
        source: of it alone.
        binds: the names that it gives a value; "*" if it imports whatever there is.
        loads: the names that it looks up when it runs.
        later: those that functions defined in it look up when they are called.
        changes: those whose value it changes from within: an item, an attribute, what a method does.
        blank: whether it is a function that does nothing yet.
        defines: whether it defines a function or a class, or imports.
    """

    at: int
    cell: int
    source: str
    binds: frozenset[str]
    loads: frozenset[str]
    later: frozenset[str]
    changes: frozenset[str]
    blank: bool
    defines: bool


def parsed(source: str) -> tuple[ast.Module, str]:
    """The syntax tree of a cell as Jupyter takes it, and the source that it belongs to.

    Magic and shell commands become calls of `get_ipython()`; the Python below `%%time` and its like is kept, a cell in
    another language is empty.

    Raises:
        SyntaxError: it is no Python.
    """
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    problem = None
    for change in (str, lambda text: text.translate(SPACES), _as_jupyter):
        try:
            changed = change(source)
            return ast.parse(changed), changed
        except SyntaxError as error:
            problem = problem or error
        except (ValueError, RecursionError, MemoryError, OverflowError) as error:
            problem = problem or SyntaxError(type(error).__name__)
        source = changed
    raise problem


def _as_jupyter(source):
    indent = re.match(r"\s*?([ \t]*)(?=\S|$)", source)[1]  # of the first line that has anything
    lines = [line.removeprefix(indent) for line in source.lstrip("\n").splitlines(keepends=True)]
    lines = ipython_prompt(classic_prompt(lines))
    while (first := next((i for i, line in enumerate(lines) if line.strip()), None)) is not None:
        word = re.match(r"%%(\w+)", lines[first])
        if not word:
            break
        if word[1] not in MEASURING:
            return ""
        del lines[: first + 1]
    source = re.sub(r"^([ \t]*)%time[ \t]+(?=\S)", r"\1", "".join(lines), flags=re.MULTILINE)
    if len(source) * len(MAGIC.findall(source)) > LARGEST_WITH_MAGIC:
        raise SyntaxError("too many lines of magic")
    return TransformerManager().transform_cell(source)


def statements(source: str, cell: int, start: int) -> list[Statement]:
    """The statements of a cell; a statement that imports several names becomes several.

    Raises:
        SyntaxError: as `parsed`.
    """
    tree, source = parsed(source)
    lines, found = source.split("\n"), []
    try:
        for node, text in _pieces(tree, lines):
            names = _Names()
            names.visit(node)
            found.append(
                Statement(
                    at=start + len(found),
                    cell=cell,
                    source=text,
                    binds=frozenset(names.binds),
                    loads=frozenset(names.loads),
                    later=frozenset(names.later),
                    changes=frozenset(_changed(node)),
                    blank=isinstance(node, ast.FunctionDef) and all(map(_idle, node.body)),
                    defines=isinstance(
                        node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
                    ),
                )
            )
    except RecursionError:
        raise SyntaxError("nested too deeply") from None
    return found


def _pieces(tree, lines) -> Iterator[tuple[ast.stmt, str]]:
    starts = [min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) for node in tree.body]
    before = 0
    for node, first, following in zip(tree.body, starts, [*starts[1:], len(lines) + 1], strict=False):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for name in node.names:
                one = type(node)(**{**dict(ast.iter_fields(node)), "names": [name]})
                yield one, ast.unparse(one)
        elif before < first and node.end_lineno < following:
            yield node, "\n".join(lines[first - 1 : node.end_lineno])
        else:  # it shares a line with another
            yield node, ast.unparse(node)
        before = node.end_lineno


def without_comments(source: str) -> str:
    """The same code, written anew; as it was, if it is nested too deeply for that."""
    try:
        return ast.unparse(ast.parse(source))
    except (SyntaxError, RecursionError, MemoryError):
        return source


def _idle(node):
    """Whether a statement of a function's body does nothing: `...`, `pass`, a docstring, a bare return."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Return):
        return node.value is None or (isinstance(node.value, ast.Constant) and node.value.value in (None, ...))
    return isinstance(node, ast.Pass)


def _root(node):
    """The name that an item, an attribute or a chain of such starts from."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _changed(node):
    """Names whose value changes from within, other than in functions that are only defined."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
        return
    target = isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del))
    method = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and node.value.func
    for changed in (target and node, isinstance(method, ast.Attribute) and method):
        if changed and (name := _root(changed)):
            yield name
    for child in ast.iter_child_nodes(node):
        yield from _changed(child)


class _Names(ast.NodeVisitor):
    """What one scope binds and looks up, and what the functions in it look up outside themselves."""

    def __init__(self):
        self.binds, self.loads, self.later, self.outside = set(), set(), set(), set()

    def visit_Name(self, node):
        (self.binds if isinstance(node.ctx, ast.Store) else self.loads).add(node.id)

    def visit_AugAssign(self, node):
        self.generic_visit(node)
        if isinstance(node.target, ast.Name):
            self.loads.add(node.target.id)

    def visit_Global(self, node):
        self.outside.update(node.names)

    visit_Nonlocal = visit_Global

    def visit_Import(self, node):
        self.binds.update((name.asname or name.name).partition(".")[0] for name in node.names)

    visit_ImportFrom = visit_Import

    def visit_ExceptHandler(self, node):
        self._bind(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node):
        self._bind(node.name)
        self.generic_visit(node)

    visit_MatchStar = visit_MatchAs

    def visit_MatchMapping(self, node):
        self._bind(node.rest)
        self.generic_visit(node)

    def _bind(self, name):
        if name:
            self.binds.add(name)

    def visit_FunctionDef(self, node):
        self.binds.add(node.name)
        for part in node.decorator_list:
            self.visit(part)
        self._annotation(node.returns)
        self._function(node.args, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node):
        self._function(node.args, [node.body])

    def _function(self, arguments, body):
        inner = _Names()
        for argument in (
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            arguments.vararg,
            arguments.kwarg,
        ):
            if argument:
                inner.binds.add(argument.arg)
                self._annotation(argument.annotation)
        for default in (*arguments.defaults, *filter(None, arguments.kw_defaults)):
            self.visit(default)
        for statement in body:
            inner.visit(statement)
        self.later |= (inner.loads | inner.later) - (inner.binds - inner.outside)

    def _comprehension(self, node):
        self.visit(node.generators[0].iter)
        inner = _Names()
        inner.generic_visit(node)
        self.loads |= inner.loads - inner.binds
        self.later |= inner.later - inner.binds

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_ClassDef(self, node):
        self.binds.add(node.name)
        inner = _Names()
        for part in node.body:
            inner.visit(part)
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(part)
        self.loads |= inner.loads
        self.later |= inner.later

    def visit_AnnAssign(self, node):
        self._annotation(node.annotation)
        for part in filter(None, (node.target, node.value)):
            self.visit(part)

    def _annotation(self, node):
        """An annotation may be looked up as it stands, from a string, or never."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                node = ast.parse(node.value, mode="eval").body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                return
        if node is not None:
            self.visit(node)
