"""Formulas as MathML, which browsers draw by themselves."""

import re
from xml.etree import ElementTree

from latex2mathml.converter import convert

WIDE = 60  # signs of a displayed formula from which it is broken at its gaps
SCRIPT = dict(zip("BEFHILMR", "ℬℰℱℋℐℒℳℛ", strict=True))  # what Unicode had before the other script letters
PARTS = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}
# What browsers do not take as latex2mathml means it, and what they do.
REPAIRS = (
    # an alphabet of its own for \mathcal: MathML Core knows no mathvariant but "normal"
    (r'<mi mathvariant="script">([A-Z])</mi>', lambda found: f"<mi>{_script(found[1])}</mi>"),
    (r"<mo>&#x02016;</mo>", '<mo stretchy="false">&#x02016;</mo>'),  # else the first bar of a norm outgrows the last
    (r"<mi>&#x029F5;</mi>", "<mo>&#x2216;</mo>"),  # the set minus that fonts have
    (r'"negativethinmathspace"', '"-0.167em"'),
    (r"(?<!<msub>)<mi>(log|cos|sin)</mi>(?!<mo)", r'<mi>\1</mi><mspace width="0.167em" />'),  # "log p", not "logp"
)


def mathml(latex: str, display: bool) -> str:
    """A formula as one `<math>` element.

    Args:
        latex: without its dollars.
        display: on a line of its own; there the limits of max and min stand below, as TeX sets them.

    Raises:
        ValueError: a part of it has no counterpart.
    """
    source = re.sub(r"\\(max|min)_", r"\\\1\\limits_", latex) if display else latex
    refusal = f"formula must be LaTeX that latex2mathml converts, not {latex!r}"
    try:
        made = convert(source.strip(), display="block" if display else "inline")
        for pattern, better in REPAIRS:
            made = re.sub(pattern, better, made)
        tree = ElementTree.fromstring(made)
    except Exception as error:  # the converter has a dozen kinds of its own; no XML is what it makes of a lone &
        raise ValueError(refusal) from error
    left = re.search(r"\\[a-zA-Z]*|[$&]", "".join(tree.itertext()))
    if left:
        raise ValueError(f"{refusal}: {left[0]} is left of it")
    for part in tree.iter():
        kind = part.tag.rpartition("}")[2]
        if kind == "merror" or len(part) != PARTS.get(kind, len(part)):
            raise ValueError(f"{refusal}: {kind} has {len(part)} parts")
    return made


def lines(latex: str) -> list[str]:
    """The parts of a displayed formula that wide gaps set apart, if it is too wide for a page; a connective goes with
    the part that follows it.
    """
    if "\\begin" in latex or len(re.sub(r"\\[a-zA-Z]+|[{}\s^_\\]", "", latex)) < WIDE:
        return [latex]
    made = []
    for part in filter(str.strip, re.split(r"\\qquad", latex)):
        if made and re.fullmatch(r"\s*(\\text\{[^}]*\}|\\Longrightarrow)\s*", made[-1]):
            made[-1] += rf"\quad {part}"
        else:
            made.append(part)
    return made


def _script(letter):
    return SCRIPT.get(letter) or chr(0x1D49C + ord(letter) - ord("A"))
