"""The parts of :func:`mutual_nearest`."""
