"""Labels by hand: queues are drawn, answers taken, files of labels read and written."""
