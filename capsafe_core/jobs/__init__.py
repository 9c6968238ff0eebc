"""Jobs: one piece of work is one folder on disk."""
