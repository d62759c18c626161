"""Readers and writers of other projects' lists of problems: each module has `loads`, `read` and `dumps`."""
