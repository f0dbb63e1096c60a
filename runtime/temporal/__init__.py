"""What makes a translated video steady from frame to frame."""
