"""Store and Selection to tidy tables; no drawing."""
