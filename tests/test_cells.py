"""What the tests of lessons rely on: the cells that use what an exercise gives."""

from cells import leaks
from nbformat.v4 import new_code_cell, new_notebook


def test_a_cell_that_uses_what_an_exercise_gives_is_found():
    sources = {
        "imports": "from helpers.exercises import check, yours",
        "exercise-1-1": "def double(x):\n    ...",
        "check-1-1": "check('1.1')",
        "exercise-1-1-picture": "mine = yours('1.1')\nplain = 3\nfor i in range(3):\n    made = [mine(i)]",
        "harmless": "print(plain, [double(2) for double in (min, max)])\nlast = [made for made in range(3)]",
        "late": "def show():\n    return made",
        "direct": "made = 3\nprint(made, double)",
        "bound-anew": "print(made)",
        "by-number": "yours('1.1')",
    }
    cells = [new_code_cell(source, id=name) for name, source in sources.items()]
    assert list(leaks(new_notebook(cells=cells))) == [("late", "made"), ("direct", "double"), ("by-number", "yours")]
