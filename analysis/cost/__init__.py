"""Multiply-adds and tokens, from the store and in closed form."""
