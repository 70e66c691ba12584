"""What every part needs and no pose is in: errors, files, progress, several processes."""
