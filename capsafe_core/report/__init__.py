"""Findings as documents: the tables, sentences and figures of the pages, with what it takes to compute them
again."""
