"""Where functions run: environments, their processes, and the Runtime API that those ask."""
