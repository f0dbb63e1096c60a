"""Two folders of pictures become batches."""
