"""From pictures to files and back, for one and for many: what a command does once its words are understood."""
