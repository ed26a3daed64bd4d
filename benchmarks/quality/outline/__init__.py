"""How exactly the outline and the proportions of rendered pictures are found."""
