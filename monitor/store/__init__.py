"""Where runs, records and flags are kept."""
