"""Compare methods of alignment on the same frames: how far off is each frame?"""
