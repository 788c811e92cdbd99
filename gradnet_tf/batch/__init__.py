"""The denoiser over millions of files on an engine (Apache Beam): see docs/batch.md."""
