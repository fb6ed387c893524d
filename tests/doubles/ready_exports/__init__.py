"""For commands to whom the export is only the way there: its child copies a graph that is ready."""
