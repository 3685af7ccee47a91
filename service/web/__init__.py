"""Pages: numbers, pictures, templates."""
