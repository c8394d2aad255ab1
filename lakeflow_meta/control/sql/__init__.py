"""SQL that people type at the control tables, with one meaning on every store."""
