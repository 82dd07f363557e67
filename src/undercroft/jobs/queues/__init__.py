"""Who delivers jobs: this process itself, and what reaches others."""
