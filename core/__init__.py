"""Thinks: tokens in, tokens out. Knows no file, no network, no screen."""
