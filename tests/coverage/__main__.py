"""Which branches and reasons of the C the tests meet: ``python -m tests.coverage``; 1 if not as ``known`` says."""

from __future__ import annotations

import sys

from tests.coverage.measure import measure


def main() -> int:
    """Print the report."""
    report = measure()
    print("\n".join(report.lines()))
    surprises = report.surprises()
    print("\n".join(surprises), file=sys.stderr)
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
