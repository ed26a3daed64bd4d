"""The parts of :func:`ransac_homography`.

``normalize`` -> ``search``: rounds of ``generate``, by ``guide`` from the second on, ``score``,
``refine``, until the rule in ``stopping`` -> ``refine`` the winner -> ``significance``: is its
support more than chance?
"""
