"""Proof that a plan was right: a real server under load, beside what was predicted for it."""
