"""What can be asked of an answer; a file a family."""
