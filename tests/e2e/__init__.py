"""Pages in a real Chromium, from a real server with a small database."""
