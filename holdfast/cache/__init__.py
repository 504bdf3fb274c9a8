"""Remembering results: keys, a tier in memory, a tier on disk, and the default cache of the process."""
