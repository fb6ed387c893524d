"""One verb each; the demo models' drawer and trainer."""
