"""Other people's runs, judged like our own: their log files in, a suite and its results out. See docs/import.md."""
