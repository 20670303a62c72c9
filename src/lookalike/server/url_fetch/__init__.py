"""Fetching images by URL, from public addresses only (no SSRF)."""
