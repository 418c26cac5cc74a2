"""The knobs as they are seen: each with its name and its words, at most seven open, the others under "more"."""

import html
import re
from collections.abc import Iterable

import ipywidgets

from helpers.panels.knobs import Knob
from helpers.panels.look import DROP

OPEN = 7  # knobs at most


def opened(knobs: Iterable[Knob]) -> tuple[list[Knob], list[Knob]]:
    """The knobs in sight and those that are left, none of them hidden; see `Controls`."""
    shown = sorted((knob for knob in knobs if not knob.hidden), key=lambda knob: not knob.first)
    return shown[:OPEN], shown[OPEN:]


class Controls(ipywidgets.VBox):
    """The controls of the knobs that are not hidden.

    Attributes:
        opened: the knobs in sight: first what the function cannot do without and what the panel was given, then
            the others, both in the order of the signature.
        folded: those that are left.
        more: the button that shows and hides them; None where there are none. The browser does that alone, by a rule
            of `helpers.panels.look.STYLE`, so that it works at once while the kernel is busy.
        uploads: the upload button of each menu of pictures, by parameter name.
    """

    def __init__(self, knobs: Iterable[Knob]):
        self.opened, self.folded = opened(knobs)
        self.more, self.uploads = None, {}
        super().__init__()
        wide = max((len(_label(knob)) for knob in (*self.opened, *self.folded)), default=0)
        children = [self._grid(self.opened, wide)]
        if self.folded:
            self.more = ipywidgets.ToggleButton(
                description="more",
                icon="caret-right",
                tooltip=", ".join(_label(knob) for knob in self.folded),
                layout={"width": "auto", "align_self": "flex-start"},
            ).add_class("panel-more")
            children += [self.more, self._grid(self.folded, wide).add_class("panel-folded")]
        self.children = children

    def reveal(self, message: str) -> None:
        """Show the folded knobs if the message names one of them."""
        if {knob.name for knob in self.folded} & set(re.findall(r"\w+", message)):
            self.more.value = True

    def _grid(self, knobs, wide):
        return ipywidgets.GridBox(
            [self._control(knob, wide) for knob in knobs],
            layout={"grid_template_columns": "repeat(auto-fit, minmax(290px, 1fr))", "grid_gap": "2px 16px"},
        )

    def _control(self, knob, wide):
        widget = knob.widget
        _name(widget, _label(knob), knob.words)
        widget.layout.width = "auto"
        widget.style.description_width = f"{wide + 1}ch"
        widget.add_class(f"knob-{knob.name}")
        if not knob.accepts:
            return widget
        upload = self.uploads[knob.name] = ipywidgets.FileUpload(
            accept=knob.accepts, description="Upload", tooltip="A picture of your own", layout={"width": "auto"}
        )
        upload.add_class("panel-upload")
        widget.layout.flex, upload.layout.flex = f"1 1 calc({wide + 1}ch + 110px)", "0 0 auto"
        row = ipywidgets.HBox([widget, upload, ipywidgets.HTML(DROP)], layout={"flex_flow": "row wrap"})
        return row.add_class("panel-row")


def _label(knob):
    return knob.name.replace("_", " ") + knob.note


def _name(widget, label, words):
    """Write the label beside the control, and the words into its tooltip.

    ipywidgets shows the tooltip of a slider only (ipywidgets#3964), and "null" where there is none: so the label
    brings its own.
    """
    widget.description, widget.tooltip = label, widget.tooltip or ""
    if words and widget.has_trait("description_allow_html"):
        widget.description_allow_html = True
        widget.description = f'<span title="{html.escape(words)}">{html.escape(label)}</span>'
