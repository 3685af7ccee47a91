"""The lane engine: cohorts of trials as lanes of one program."""
