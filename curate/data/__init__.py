"""Files to rows with provenance, and rows to files."""
