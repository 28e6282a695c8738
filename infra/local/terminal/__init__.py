"""The demo: the main job, shown in a terminal."""
