"""``holdfast cache``: what a disk cache holds, what it did, and forgetting. Each command in a file of its own."""
