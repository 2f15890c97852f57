"""Orgs, teams, projects, keys and prices: declared in the file, or made at run time and kept in Postgres."""
