"""Adapters to the places models live, one file each."""
