"""Grading a class: submissions are put into the released lessons, run with nbval, and judged from outside."""
