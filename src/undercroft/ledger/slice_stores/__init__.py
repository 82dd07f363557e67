"""Where slices are kept."""
