"""Where a dataset comes from: a folder, tar shards, or an address; it becomes a folder of this machine."""
