"""What every part of the package needs: errors, files, progress, command lines."""
