"""The parts of :func:`ransac_homography`."""
