"""Table schemas: declared tables compared with live ones, planned, and made so."""
