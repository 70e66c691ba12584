"""A cell of a table: what determines it, and how it is measured."""
