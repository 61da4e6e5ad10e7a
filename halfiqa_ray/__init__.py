"""Exact block importance for image quality assessment, distributed with Ray."""

__version__ = "0.1.0"
