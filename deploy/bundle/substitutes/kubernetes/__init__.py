"""In the bundle: the client's package without importing all that it holds."""
