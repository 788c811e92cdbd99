"""Results of a study and what is made of them: statistics, table, chart."""
