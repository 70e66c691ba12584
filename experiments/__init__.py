"""Declarative specs of tables and figures, and the runner that measures what the store lacks."""
