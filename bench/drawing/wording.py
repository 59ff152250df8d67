"""Numbers as people read them."""

from __future__ import annotations

import math

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
"""What stands where there is no number."""
NOT_MEASURED = "not measured"


def number(value: float) -> str:
    """Three significant digits, more from 1,000 on, and no decimals for whole numbers: 0.0123, 1.23, 12, 1,234."""
    if not math.isfinite(value):
        return NOTHING
    if value == int(value):
        return f"{value:,.0f}".replace("-", MINUS)
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}".replace("-", MINUS)


def spread(low: float, high: float) -> str:
    """From the least to the greatest."""
    return number(low) if low == high else f"{number(low)}\N{EN DASH}{number(high)}"


def ratio(value: float) -> str:
    """Two decimals, as long as that tells something: 0.012, 0.98, 1.61, 17.2, 1,280."""
    return f"{value:.2f}" if 0.1 <= abs(value) < 10 else number(value)


def services(count: int) -> str:
    """How many Services; 0 where it does not matter."""
    return f"{count:,}" if count else "any"


def tick(value: float) -> str:
    """A number on an axis, without decimals that say nothing: 0.01, 0.5, 20, 5,000."""
    return f"{value:,.0f}" if value >= 10 else f"{value:g}"
