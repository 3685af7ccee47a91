"""Steps as compiled programs."""
