"""Studies: from a configuration to a plan, runs, statistics and a report."""
