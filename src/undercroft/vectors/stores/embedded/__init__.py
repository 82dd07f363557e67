"""Vectors inside the process: SQLite holds the truth, everything that makes it fast is derived from that."""
