"""Programs run by themselves: benches, comparisons, examples."""
