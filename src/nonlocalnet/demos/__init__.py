"""Whole stories in minutes: from generated videos or images to a table and pictures."""
