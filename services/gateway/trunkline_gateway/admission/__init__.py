"""Admission: limits and budgets, reserved before a request and settled after it."""
