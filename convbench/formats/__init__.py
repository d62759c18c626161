"""Other projects' lists of problems, one format a file, each with `loads`, `read` and, if it can be written, `dumps`.

`detect` knows which one a file is in; `text` is what the readers of text share.
"""
