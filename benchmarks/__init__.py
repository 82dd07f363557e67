"""Measurements: ratios between contenders of one run, stored as JSON. `make bench` runs them."""
