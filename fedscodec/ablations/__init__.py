"""What each part of the paper is worth: networks that differ in one thing, trained alike and measured on real files."""
