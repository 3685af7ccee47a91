"""The queue of cohorts: submission, claims, reports of attempts."""
