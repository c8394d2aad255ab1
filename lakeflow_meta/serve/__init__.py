"""What starts jobs by itself on one machine: schedules, triggers, continuous jobs."""
