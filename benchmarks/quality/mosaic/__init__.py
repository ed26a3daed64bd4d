"""How well a large picture is put together from photos of its parts: ours, and OpenCV's stitcher beside it."""
