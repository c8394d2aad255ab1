"""The embedded workspace: jobs, runs, and the task graph that runs in this process."""
