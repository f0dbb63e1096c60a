"""The whole road on the embedded emoji, from two folders of pictures to a report."""
