"""What tests and validations of videos come to: scores, metrics, and their records."""
