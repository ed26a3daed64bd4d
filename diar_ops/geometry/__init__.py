"""Homographies: estimation, errors, warping."""
