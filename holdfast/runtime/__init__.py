"""Does the work: runs, calls, futures. Begin with ``_async/call.py``."""
