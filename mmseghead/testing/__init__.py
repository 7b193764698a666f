"""Fake inputs and builders for tests."""
