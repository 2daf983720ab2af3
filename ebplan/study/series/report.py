"""What was found in a series, for the manifest of a study."""

from __future__ import annotations

from ebplan.document import Part


class SeriesReport(Part):
    """Counts, ranges and the digest of a file of a series."""

    field: str
    """What it is used for, e.g. ``market.spot_per_kwh``."""
    file: str
    """Where it came from."""
    column: str
    """Its column."""
    sha256: str
    """Digest of the file."""
    unit: str
    """Unit in the file."""
    factor: float
    """Values of the study are those of the file times this."""
    rows: int
    """Rows of the file."""
    used: int
    """Steps of the file within the period."""
    first: str
    """Beginning of the first step in the file, in UTC."""
    last: str
    """Beginning of the last one."""
    filled: int = 0
    """Steps that were missing or no number, and filled by ``gap_rule``."""
    gap_rule: str = "refuse"
    """How."""
    not_numbers: int = 0
    """Cells without a number, among them."""
    repeated: int = 0
    """Rows that repeat time and value of another, left out."""
    ambiguous: int = 0
    """Times that a wall clock shows twice, told apart by their order."""
    short_days: int = 0
    """Days of the period with an hour less."""
    long_days: int = 0
    """Days of the period with an hour more."""
    negative: int = 0
    """Steps below zero."""
    clipped: int = 0
    """Steps above the cap, set to it."""
    lowest: float
    """Lowest value, in units of the study."""
    mean: float
    """Mean."""
    highest: float
    """Highest."""
