"""What a target offers to the verbs: its stores, jobs, sessions and files. One module a backend."""
