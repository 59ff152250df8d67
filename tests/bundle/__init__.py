"""The bundle at work where there is nothing else."""
