"""One convolution family a file; every module-level ``Algorithm`` in this folder is registered."""
