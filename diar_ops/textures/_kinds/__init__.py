"""How each kind of procedural texture is drawn."""
