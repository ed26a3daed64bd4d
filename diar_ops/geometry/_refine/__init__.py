"""The parts of :func:`refine_homography`."""
