"""What several systems are built from: blocks, heads, token merging, their configurations and multiply-adds."""
