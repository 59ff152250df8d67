"""Measurements. Nothing here asserts a time: what is reached is printed beside what was to be reached."""
