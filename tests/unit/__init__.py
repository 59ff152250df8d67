"""Tests without root, named after the modules that they test."""
