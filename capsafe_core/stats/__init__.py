"""Pure numpy and scipy: intervals, bootstrap, agreement, matching."""
