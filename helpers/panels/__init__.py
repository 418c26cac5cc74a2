"""Panels: a technique with its knobs, its picture and, if it works step by step, its Run and Stop."""

from helpers.panels.panel import Panel, fixed, living, panel

__all__ = ["Panel", "fixed", "living", "panel"]
