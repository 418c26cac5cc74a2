"""Seeing what a convolutional network has learned: the implementations behind the lessons."""
