"""Long-lived processes: dispatcher, supervisor, children."""
