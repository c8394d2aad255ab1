"""Jobs: from recorded modules to job settings, to a plan, to jobs that are updated in place."""
