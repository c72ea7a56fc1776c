"""Many short trainings that are killed, stopped and starved, and a check that nothing is lost."""
