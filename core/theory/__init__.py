"""What theory expects of a network before its first training step, to be drawn dashed over the measurements."""
