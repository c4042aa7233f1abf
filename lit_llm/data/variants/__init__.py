"""Variants of training texts that keep their targets."""
