"""``make bench-board``: how fast a board of 100,000 settings and a million trials answers."""
