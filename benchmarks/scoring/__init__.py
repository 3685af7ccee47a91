"""Statistics of boards: pure functions, without torch."""
