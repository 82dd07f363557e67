"""The fast path: plain calls from the client's bytes to its last byte in callbacks, without a task."""
