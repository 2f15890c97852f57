"""Requests and answers of every dialect in one canonical form. Pure: no network, no clock, no state but a stream's."""
