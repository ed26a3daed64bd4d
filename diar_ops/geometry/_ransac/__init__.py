"""The parts of :func:`ransac_homography`.

``normalize`` -> ``search``: rounds of ``generate``, ``score``, ``refine``, until ``stopping`` says
so -> ``refine`` the winner -> ``evidence``: is its support more than chance?
"""
