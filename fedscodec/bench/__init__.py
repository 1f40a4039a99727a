"""How feds is measured: on real files, encoded and decoded."""
