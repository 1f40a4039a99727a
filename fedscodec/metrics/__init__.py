"""How near one picture is to another: a table of metrics, and a file for each."""
