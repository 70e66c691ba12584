"""Checks against numbers of public reference implementations."""
