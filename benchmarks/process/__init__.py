"""How a process is set up before torch is loaded: allocator, compile cache."""
