"""Formulas as MathML, which browsers draw by themselves."""

import re

from latex2mathml.converter import convert

# an alphabet of their own for \mathcal: MathML Core knows no mathvariant but "normal"
SCRIPT = dict(zip("BEFHILMR", "ℬℰℱℋℐℒℳℛ", strict=True))


def mathml(latex: str, display: bool) -> str:
    """A formula as one `<math>` element.

    Args:
        latex: without its dollars.
        display: on a line of its own; there the limits of max and min stand below, as TeX sets them.

    Raises:
        ValueError: a command in it has no counterpart.
    """
    source = re.sub(r"\\(max|min)_", r"\\\1\\limits_", latex) if display else latex
    try:
        made = convert(source.strip(), display="block" if display else "inline")
    except Exception as error:  # each of the converter's own kinds, and IndexError where a group is left open
        raise ValueError(f"formula must be LaTeX that latex2mathml converts, not {latex!r}") from error
    left = re.search(r"\\[a-zA-Z]*|<merror", made)
    if left:
        raise ValueError(f"formula must be LaTeX that latex2mathml converts, not {latex!r}: {left[0]} is left of it")
    return re.sub(r'<mi mathvariant="script">(\w)</mi>', lambda found: f"<mi>{_script(found[1])}</mi>", made)


def _script(letter):
    return SCRIPT.get(letter) or chr(0x1D49C + ord(letter) - ord("A"))
