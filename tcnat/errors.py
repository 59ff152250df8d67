"""Errors that a person can cause or mend: each is one line that says what is wrong, where, and what to do."""

from __future__ import annotations


class TcnatError(Exception):
    """An error to be shown as one line, without a traceback. ``exit_code`` is what the command ends with."""

    exit_code = 1

    def __init__(self, message: str, *, exit_code: int | None = None) -> None:
        super().__init__(message)
        if exit_code is not None:
            self.exit_code = exit_code
