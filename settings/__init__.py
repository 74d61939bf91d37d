"""The one place that reads the environment: every setting, with its source and its meaning."""
