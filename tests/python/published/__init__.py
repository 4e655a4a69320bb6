"""What the test vectors in `transparency/vectors/` hold, a module for each file."""
