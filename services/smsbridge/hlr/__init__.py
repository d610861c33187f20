"""What is known about a number."""
