"""Captures with golden answers, the scripts that make them, and the tests that replay them."""
