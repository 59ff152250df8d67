"""In the bundle: the package without importing all that it holds."""
