"""What `ttrb` returns to the shell; 0 is success, and 1 a check that failed or a bug."""

EXIT_INPUT_ERROR = 2
EXIT_NO_OUTLIERS = 3  # of repair: nothing is wrong, and there is nothing to find
EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141
