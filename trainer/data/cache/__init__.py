"""The cache of prepared pictures on disk: where it is, how it is built, and the format of its files."""
