"""External stores of secrets, a file each."""
