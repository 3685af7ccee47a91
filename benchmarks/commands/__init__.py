"""Programs of the repository: ``make bench``, ``make agreement``."""
