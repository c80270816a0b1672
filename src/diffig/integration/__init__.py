"""A path becomes an attribution: where it is cut, what is summed, how candidates become one map."""
