"""Denoises millions of files with Apache Beam; see docs/batch.md."""
