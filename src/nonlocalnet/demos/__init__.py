"""Whole stories in minutes: from generated videos to a table and pictures."""
