"""Reads the store: tables, statistics, closed-form costs. Never measures, never imports torch."""
