"""The cells of a lesson: what makes their panels quick, and those that use what an exercise gives."""

import re
from collections.abc import Iterator

from nbformat import NotebookNode

from helpers.site.slices import statements, taken_and_given

# to be run first: knobs do the same with collections of small pictures, of which a thousand are described in seconds
SMALL = """
from helpers.core import photos

for kind in (photos.Crops, photos.Folder, photos.Labelled):
    kind.size = property(lambda _: 64, lambda *_: None)  # whatever is asked for
"""


def leaks(notebook: NotebookNode) -> Iterator[tuple[str, str]]:
    """The cells beside the exercises' own that use what an exercise gives, each with the name that it uses."""
    theirs = set()  # names that stand for a reader's function, or for what comes of calling it
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        blank, own = re.fullmatch(r"exercise-\d-\d+", cell.id), cell.id.startswith("exercise-")
        for statement in statements(cell):
            taken, given = taken_and_given(statement)
            touched = taken & (theirs | {"yours"})
            if blank or (own and touched):
                theirs |= given
                continue
            theirs -= given
            if not own:
                yield from ((cell.id, name) for name in sorted(touched))
