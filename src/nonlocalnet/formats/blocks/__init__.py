"""Single non-local blocks of other libraries."""
