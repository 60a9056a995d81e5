"""The tests of counterflow."""
