"""The parts of :func:`warp_homography`."""
