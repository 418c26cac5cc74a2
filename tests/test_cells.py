"""What the tests of lessons rely on: the slice that panels need, and the cells that use what an exercise gives."""

from cells import leaks, slice_for_panels
from nbformat.v4 import new_code_cell, new_notebook


def test_the_slice_holds_what_a_panel_needs_and_nothing_else():
    cells = [
        "import torch\nimport time as clock\nfrom helpers.panels import panel\n%matplotlib inline",
        "weight = 'unused'\nname = weight",
        "weight = torch.ones(3)\nprint(clock.time())\nheavy = weight.sum()",
        "rows = []\nfor row in range(3):\n    weight = weight + row\n    rows += [row]",
        "for name in rows:\n    print(name)",
        "def double(x, heavy=2):\n    return x * weight * heavy\n\ndef unused(x):\n    return panel(x)",
        "for name in ('a', 'b'):\n    display(panel(double, title=name))",
    ]
    kept = slice_for_panels(new_notebook(cells=[new_code_cell(cell) for cell in cells]))
    assert [cell.source.splitlines() for cell in kept.cells] == [
        ["import torch", "from helpers.panels import panel"],
        ["weight = torch.ones(3)"],
        ["rows = []", "for row in range(3):", "    weight = weight + row", "    rows += [row]"],
        ["def double(x, heavy=2):", "    return x * weight * heavy"],
        ["for name in ('a', 'b'):", "    display(panel(double, title=name))"],
    ]


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
