"""What a process is like that computes: its allocator, its compile cache, its signals."""
