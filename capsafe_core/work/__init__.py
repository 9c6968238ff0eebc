"""What workers run: each kind of job, and the worker itself."""
