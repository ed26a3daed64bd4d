"""How well bent pictures are aligned: a homography alone, grids, and the peers."""
