"""Savers: where the finished steps of a run are kept."""
