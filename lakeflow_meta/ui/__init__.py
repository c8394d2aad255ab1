"""The read-only web page, and the same pages as one file. Server-rendered, nothing to build."""
