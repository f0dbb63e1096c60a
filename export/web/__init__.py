"""A generator as a folder that any static host serves: a page that translates on its visitor's own device."""
