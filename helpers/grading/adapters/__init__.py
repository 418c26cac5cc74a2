"""Grading where a class already works: Gradescope, Classroom 50, GitHub Actions. The judge is the same everywhere."""
