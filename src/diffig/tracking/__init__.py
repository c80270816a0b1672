"""What a run tells of itself while it runs: its name, its surroundings, how far it has come."""
