"""What specs, tiers and data sets are, read and checked."""
