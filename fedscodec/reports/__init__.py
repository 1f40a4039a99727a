"""Everything that draws: pages, plots, tables, the viewer."""
