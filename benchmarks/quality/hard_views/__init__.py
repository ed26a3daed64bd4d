"""Two photos of one picture from far apart: tilted, scaled and turned against each other."""
