"""What a run file names: one file per task, which reads records and says what is asked and answered."""
