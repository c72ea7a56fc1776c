"""What the commands, `compare` and the inferencers share: configs, Runners, processes, messages."""
