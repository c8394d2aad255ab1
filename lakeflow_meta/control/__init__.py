"""The control plane: declared YAML, recorded control tables, and what changed between them."""
