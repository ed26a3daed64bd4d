"""The parts of :func:`ransac_homography`.

``normalize`` -> ``search``: rounds of ``generate``, ``score``, ``refine``, until the rule in
``stopping`` -> ``refine`` the winner -> ``evidence``: is its support more than chance?
"""
