"""From aligned frames to one picture."""
