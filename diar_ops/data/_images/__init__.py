"""How each kind of image file is decoded; :func:`diar_ops.data.read_image` chooses among them."""
