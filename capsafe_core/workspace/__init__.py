"""The workspace: the owner of the store, what it answers to commands, and the notebook."""
