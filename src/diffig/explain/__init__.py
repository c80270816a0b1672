"""What `diffig-explain` shows of one image: maps side by side, the path as a film, pixels taken out, one page."""
