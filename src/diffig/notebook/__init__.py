"""A few lines in a notebook: explain any network's image, look at the maps, measure them."""
