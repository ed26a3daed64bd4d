"""Dense descriptors and their correspondences."""
