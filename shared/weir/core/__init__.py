"""Everything that can be decided without IO: bytes and values in, values out; no socket, clock, log or environment."""
