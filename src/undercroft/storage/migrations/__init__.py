"""The schema's history: one line of numbered revisions, each first adding (expand) and later removing (contract)."""
