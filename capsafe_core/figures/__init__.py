"""Tidy table to plotly figure."""
