"""Events for pages that are open: what is told, who listens, and how it travels."""
