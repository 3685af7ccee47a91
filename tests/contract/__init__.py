"""Schemathesis against running servers, and the examples in the description of the API."""
