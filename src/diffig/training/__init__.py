"""One training from config to files: fit, resume, export."""
