"""All that runs beside a stranger's answers, in their process: it defines them, calls them, and knows nothing else."""
