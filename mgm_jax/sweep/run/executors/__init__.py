"""Who does the tasks: this process, the processes of a job, a Ray cluster."""
